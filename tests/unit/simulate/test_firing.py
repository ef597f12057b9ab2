"""Every way of firing and resetting, in every executor of ours, against plain loops."""

from __future__ import annotations

import itertools
from typing import get_args

import nir
import numpy as np
import pytest
import torch
from oracles.neuron_firing import fire
from support.graphs import graph
from support.kits import kit
from support.membranes import membranes64

from snn_deploy.core.errors import DataError
from snn_deploy.core.registry import BACKENDS, FORMATS
from snn_deploy.export.base import Calibration
from snn_deploy.export.nir import NirWriter
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.options import NirOptions, OnnxOptions
from snn_deploy.graph.passes.for_readers.consumers import CONSUMERS
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Reset, Semantics, set_reset, write_semantics
from snn_deploy.hardware.fit import fit
from snn_deploy.hardware.profile import load_profile
from snn_deploy.simulate.reference import Reference

RESETS = get_args(Reset)
STEPS, BATCH, NEURONS = 12, 3, 4
BETA = 0.75
MODES = [(reset, "one", bound) for reset in RESETS for bound in (None, -0.5)]
MODES += [
    (reset, spikes, bound)
    for reset in ("zero", "subtract")
    for spikes in ("many", "rounded")
    for bound in (None, -0.5)
]
LEVELS = {"rounded": 3}


def network(reset, spikes, v_min, fires_at, v_reset=0.0, own=False) -> nir.NIRGraph:
    """A LIF of BETA whose input is added as it is; exact in float32 for STEPS steps of quarters."""
    one = np.ones(NEURONS)
    node = nir.LIF(tau=4e-4 * one, r=4 * one, v_leak=0 * one, v_threshold=1.0 * one, v_reset=v_reset * one)
    net = graph({"n": node}, [("input", "n"), ("n", "output")], (NEURONS,), (NEURONS,))
    if own:
        set_reset(node, reset)
    stated = Semantics(
        fires_at=fires_at,
        reset="zero" if own else reset,
        spikes=spikes,
        levels=LEVELS.get(spikes),
        v_min=v_min,
        timesteps=STEPS,
    )
    write_semantics(net, stated)
    return net


def frames(seed=0) -> torch.Tensor:
    values = np.random.default_rng(seed).integers(-4, 10, (STEPS, BATCH, NEURONS)) / 4
    return torch.from_numpy(values.astype(np.float32))


def expected(x, reset, spikes, v_min, fires_at, v_reset=0.0):
    out, membranes = np.zeros(x.shape), np.zeros(x.shape)
    for b, n in itertools.product(range(BATCH), range(NEURONS)):
        out[:, b, n], membranes[:, b, n] = fire(
            x[:, b, n].double().tolist(),
            reset=reset,
            threshold=1.0,
            v_reset=v_reset,
            beta=BETA,
            strict=fires_at == ">",
            many=spikes == "many",
            levels=LEVELS.get(spikes),
            v_min=v_min,
        )
    return torch.from_numpy(out), torch.from_numpy(membranes)


@pytest.mark.parametrize("fires_at", [">", ">="])
@pytest.mark.parametrize(("reset", "spikes", "v_min"), MODES)
def test_spikes_and_membranes_are_those_of_plain_loops(reset, spikes, v_min, fires_at):
    x = frames()
    trace = Reference(network(reset, spikes, v_min, fires_at), dtype=torch.float64).run(x.double())
    want, membranes = expected(x, reset, spikes, v_min, fires_at)
    assert torch.equal(trace.output, want)
    assert torch.equal(trace.state["n"].v, membranes[-1])
    assert want.mean() > 0.05
    assert bool((want > 1).any()) == (spikes != "one")
    assert want.max() <= LEVELS.get(spikes, 9)


@pytest.mark.parametrize("reset", RESETS)
def test_resets_go_to_v_reset_and_may_be_a_nodes_own(reset):
    x = frames(1)
    want, _ = expected(x, reset, "one", None, ">", v_reset=0.25)
    for own in (False, True):
        net = network(reset, "one", None, ">", v_reset=0.25, own=own)
        assert torch.equal(Reference(net, dtype=torch.float64).run(x.double()).output, want)


@pytest.mark.parametrize("fires_at", [">", ">="])
@pytest.mark.parametrize(("reset", "spikes", "v_min"), MODES)
def test_onnx_models_and_the_kit_fire_alike(reset, spikes, v_min, fires_at, tmp_path):
    net, x = network(reset, spikes, v_min, fires_at), frames(2)
    wanted = Reference(net).run(x).output
    OnnxWriter(OnnxOptions(models=("step", "scan", "unrolled"))).write(net, tmp_path, Calibration(x))
    for model in ("step", "scan", "unrolled"):
        run = BACKENDS.get("onnxruntime").factory(tmp_path / f"model.{model}.onnx").run(x)
        assert torch.equal(run.output, wanted), model
    NirWriter(NirOptions(allow=("reset-in-metadata",))).write(net, tmp_path, Calibration(x))
    assert torch.equal(BACKENDS.get("reference").factory(tmp_path / "model.nir").run(x).output, wanted)
    found, _, _ = kit("run_nir").run(tmp_path / "model.nir", x.numpy())
    assert np.array_equal(found, wanted.numpy())


@pytest.mark.parametrize(("reset", "spikes", "v_min"), MODES)
def test_the_margin_of_a_spike_is_the_distance_to_another_answer(reset, spikes, v_min):
    """Moving the threshold by more than the smallest margin changes the first spike, by less changes none."""
    net, x = network(reset, spikes, v_min, ">"), frames(3).double() + 0.013
    plan = make_plan(net)
    out = Reference(net, dtype=torch.float64).run(x).output
    margin = (membranes64(plan, "n", x, out) - 1.0).abs()
    assert 0 < margin.min() < 0.3
    assert margin.max() <= (0.5 + 1e-9 if spikes == "many" else 9) or bool((out == 0).any())
    first = int(margin.flatten(1).min(1).values.argmin())
    for sign in (1, -1):
        nudged = x.clone()
        nudged[first] += sign * margin.flatten(1).min(1).values[first] * 0.99
        assert torch.equal(Reference(net, dtype=torch.float64).run(nudged).output[first], out[first])


def test_what_has_no_meaning_is_refused():
    one = np.ones(NEURONS)
    for stated, text in (
        ({"spikes": "many", "reset": "none"}, "several spikes per step go with reset zero or subtract"),
        ({"v_min": 1.0}, "the lower bound 1 is not below v_threshold"),
    ):
        net = network("zero", "one", None, ">")
        write_semantics(net, Semantics(**stated))
        with pytest.raises(DataError, match=text):
            make_plan(net)
    for stated, text in (
        ({"spikes": "rounded"}, "rounded spikes have a bound"),
        ({"spikes": "many", "levels": 3}, "others none"),
        ({"spikes": "rounded", "levels": 256}, "1 to 255"),
    ):
        with pytest.raises(DataError, match=text):
            write_semantics(net, Semantics(**stated))
    net = network("zero", "many", None, ">", v_reset=0.5)
    with pytest.raises(DataError, match="several spikes per step need v_reset = 0"):
        make_plan(net)
    net = network("zero", "one", None, ">")
    net.nodes["n"].metadata["snn_deploy_reset"] = "sometimes"
    with pytest.raises(DataError, match="metadata are damaged"):
        make_plan(net)
    assert one.all()


@pytest.mark.parametrize(("reset", "spikes", "v_min"), MODES)
def test_targets_that_fire_otherwise_refuse_by_rule(reset, spikes, v_min):
    net = network(reset, spikes, v_min, ">")
    plan = make_plan(net)
    plain = spikes == "one" and v_min is None
    lava = FORMATS.get("lava")
    problems = lava.factory(lava.options()).check(net)
    assert ("n" in [p.where for p in problems]) == (not plain or reset != "zero")
    assert all("Lava neuron" in p.rule for p in problems if p.where == "n")
    portable = NirWriter().check(net)
    assert bool(portable) == (not plain or reset != "zero")
    for reader in CONSUMERS:
        refused = NirWriter(NirOptions(reader=reader, allow=("reset-in-metadata",))).check(net)
        known = plain and reset in {"zero", "subtract"}
        assert known or any("has no field for another reset" in p.rule for p in refused), reader
    found = fit(plan, load_profile("speck2f"))
    said = [f for f in found.problems if f.rule == "resets"]
    assert bool(said) == (not plain or reset not in {"zero", "subtract"})
