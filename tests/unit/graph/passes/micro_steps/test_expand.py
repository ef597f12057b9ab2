"""Whole numbers and micro-steps: the same numbers, in every executor, whatever the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from support.graphs import graph
from support.integer_nets import fired_by_hand, integer_graph
from support.micro_steps import Expanded

from snn_deploy.core.errors import DataError, UnsupportedError
from snn_deploy.core.registry import BACKENDS
from snn_deploy.energy.count import Counter
from snn_deploy.export.base import Calibration
from snn_deploy.export.lava import LavaWriter
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.options import LavaOptions, OnnxOptions
from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.passes.micro_steps.expand import MicroSteps
from snn_deploy.graph.passes.micro_steps.schedule import KEY, Schedule, read_schedule
from snn_deploy.graph.passes.micro_steps.whole_numbers import WholeNumbers
from snn_deploy.graph.semantics import Semantics, read_semantics, set_reset, write_semantics
from snn_deploy.graph.types import SPIKING_NODES, Plan
from snn_deploy.simulate.lava.client import Lava
from snn_deploy.simulate.lava.environment import lava_environment
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.simulate.reference import Reference

SEEDS = [*range(20), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(20, 120))]


def by_hand(plan: Plan, x: torch.Tensor) -> dict[str, np.ndarray]:
    """The network of whole numbers, its matrices taken from the nodes."""
    names, weights = plan.of_type(*SPIKING_NODES), []
    for target in names:
        for node in plan.sources[target]:
            weight = getattr(plan.node(node), "weight", None)
            source = node if weight is None else plan.sources[node][0]
            size = int(np.prod(plan.shapes[target]))
            matrix = np.eye(size) if weight is None else np.asarray(weight)
            bias = np.asarray(getattr(plan.node(node), "bias", np.zeros(size)))
            weights.append((source if source in names else "input", target, matrix, bias))
    thetas = {name: int(np.ravel(plan.node(name).v_threshold)[0]) for name in names}
    levels = read_semantics(plan.graph).levels
    return fired_by_hand(weights, thetas, levels, x.flatten(2).numpy())


@pytest.mark.parametrize("seed", SEEDS)
def test_micro_steps_fire_the_whole_numbers_everywhere(seed: int, tmp_path: Path) -> None:
    """0 differing: plain integers, the reference, ONNX Runtime of both forms, and Lava's arithmetic."""
    net = Expanded(seed)
    hand = by_hand(net.whole, net.x)
    for name in net.names:
        assert np.array_equal(hand[name], net.wanted.records[name].numpy()), name
    binary = Reference(net.binary).run(net.frames, record=True)
    assert net.differing(binary.records) == 0
    reads = net.whole.sources[net.whole.output][0] not in net.names
    if reads:
        assert torch.equal(net.schedule.output(binary.output), net.wanted.output)
    for folder, form, x in (("w", net.whole.graph, net.x), ("b", net.binary.graph, net.frames)):
        OnnxWriter(OnnxOptions(models=("step", "scan"))).write(form, tmp_path / folder, Calibration(x))
        for model in ("step", "scan"):
            file = tmp_path / folder / f"model.{model}.onnx"
            run = BACKENDS.get("onnxruntime").factory(file).run(x, record=True)
            if folder == "w":
                assert all(torch.equal(run.records[name], net.wanted.records[name]) for name in net.names)
                assert torch.equal(run.output, net.wanted.output)
            else:
                assert net.differing(run.records) == 0
                assert torch.equal(run.output, binary.output)
    LavaWriter(LavaOptions()).write(net.binary.graph, tmp_path, Calibration(net.frames))
    chip = Loihi(read_net(tmp_path / "model.net")).run(net.frames, record=True)
    assert net.differing(chip.records) == 0
    assert torch.equal(chip.output, binary.output)
    if seed % 8 == 0 and lava_environment() is not None:
        found = Lava(tmp_path / "model.net").run(net.frames[:, :1], record=True)
        assert net.differing(found.records, samples=1) == 0
        assert torch.equal(found.output, binary.output[:, :1])


@pytest.mark.parametrize("seed", range(20))
def test_synaptic_events_are_counted_both_ways(seed: int) -> None:
    """Events by unit of whole numbers are events by site in micro-steps, signals left out."""
    net = Expanded(seed)
    whole = Counter(net.whole).run(Reference(net.whole), net.x)
    binary = Counter(net.binary).run(Reference(net.binary), net.frames)
    sites = {edge.name: int(edge.sites_nonzero.sum()) for edge in binary.edges}
    for edge in whole.edges:
        if edge.sources[0] not in net.names:
            continue  # the input's matrix holds the weights of signals, too
        assert int(edge.units_nonzero.sum()) == sites[edge.name], edge.name
        assert edge.sites_nonzero.sum() <= edge.units_nonzero.sum()


def test_a_schedule_survives_its_file_and_says_what_is_wrong() -> None:
    net = Expanded(3)
    assert read_schedule(net.binary.graph) == net.schedule
    assert read_schedule(net.whole.graph) is None
    with pytest.raises(DataError, match="the schedule is for"):
        net.schedule.frames(net.x[:, :, :-1])
    early = torch.zeros(net.schedule.micro_steps, 1, 2)
    early[0] = 1
    with pytest.raises(DataError, match="had to listen"):
        net.schedule.spikes(net.names[0], early)
    net.binary.graph.metadata[KEY] = "{}"
    with pytest.raises(DataError, match="damaged"):
        read_schedule(net.binary.graph)


def test_the_windows_of_a_schedule_by_hand() -> None:
    """T = 2, D = 3, L = 2: level 1 listens in windows 0, 2, 4 and fires in 1, 3; level 2 one window later."""
    schedule = Schedule(2, 3, 2, (1,), ((1, 1), (2, 1)), {"a": 1, "b": 2})
    assert schedule.micro_steps == 15
    assert schedule.signals(0) == [(1, "listen"), (1, "fire"), (2, "listen"), (2, "fire")]
    assert schedule.signals(1) == [(2, "listen"), (2, "listen"), (2, "fire")]
    frames = schedule.frames(torch.tensor([[[5.0]], [[7.0]]]))[:, 0]
    begin = [frames[3 * window].tolist() for window in range(5)]
    assert begin == [[5, 1, 0, 0, 0], [0, 0, 1, 1, 0], [7, 1, 0, 0, 1], [0, 0, 1, 1, 0], [0, 1, 0, 0, 1]]
    assert frames.sum() == sum(map(sum, begin))


def changed(change) -> nir.NIRGraph:
    net, _ = integer_graph(0)
    change(net)
    return net


def stating(**known):
    return lambda graph: write_semantics(graph, replace(read_semantics(graph), **known))


def first_neurons(graph: nir.NIRGraph) -> str:
    return next(name for name, node in graph.nodes.items() if isinstance(node, nir.IF))


def leaking(graph: nir.NIRGraph) -> None:
    name = first_neurons(graph)
    node = graph.nodes[name]
    ones = np.ones_like(node.r)
    graph.nodes[name] = nir.LIF(
        tau=2e-4 * ones, r=2 * ones, v_leak=0 * ones, v_threshold=node.v_threshold, v_reset=0 * ones
    )
    set_reset(graph.nodes[name], "subtract")


def gaining(graph: nir.NIRGraph) -> None:
    node = graph.nodes[first_neurons(graph)]
    node.r = node.r * 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (stating(spikes="one", levels=None), "one spikes per step"),
        (stating(timesteps=None), "states no number of steps"),
        (stating(decode="last"), "read at its last step"),
        (stating(v_min=-1.0), "membranes from -1"),
        (leaking, "a leak would act in every micro-step"),
        (gaining, "takes its input times 2"),
        (lambda graph: set_reset(graph.nodes[first_neurons(graph)], "zero"), "reset zero"),
    ],
)
def test_what_has_no_form_is_refused_by_name(change, text: str) -> None:
    with pytest.raises(UnsupportedError, match=text):
        WholeNumbers()(changed(change))


def test_real_weights_are_refused_and_named() -> None:
    net, _ = integer_graph(0)
    with pytest.raises(UnsupportedError, match="between whole numbers"):
        MicroSteps()(net)


def test_a_skip_of_the_input_takes_numbers_that_neurons_can_fire() -> None:
    """The input goes round a layer: numbers from 0 to D are fired once more, others are refused."""
    ones, fc = np.ones(2), nir.Linear(np.array([[6.0, -2.0], [4.0, 8.0]], np.float32))
    fire = {"r": 1e4 * ones, "v_threshold": 6 * ones, "v_reset": 0 * ones}
    nodes = {"fc": fc, "a": nir.IF(**fire), "on": fc, "b": nir.IF(**fire), "skip": fc}
    edges = [("input", "fc"), ("fc", "a"), ("a", "on"), ("on", "b"), ("input", "skip"), ("skip", "b")]
    net = graph(nodes, [*edges, ("b", "output")], (2,), (2,))
    rule = {"fires_at": ">=", "reset": "subtract", "spikes": "rounded", "levels": 3}
    write_semantics(net, Semantics(timesteps=3, **rule))
    x = torch.randint(0, 4, (3, 8, 2), generator=torch.Generator().manual_seed(1)).float()
    made = MicroSteps(0, 3)(net)
    schedule = read_schedule(made)
    assert "input@1" in made.nodes
    found = Reference(made).run(schedule.frames(x), record=True).records
    wanted = Reference(net).run(x, record=True).records
    for name in ("a", "b"):
        assert torch.equal(schedule.spikes(name, found[name]), wanted[name])
        assert wanted[name].max() > 1
    with pytest.raises(UnsupportedError, match="sees the input itself"):
        MicroSteps(0, 4)(net)


def test_membranes_that_could_leave_the_chip_are_refused() -> None:
    net, _ = integer_graph(0)
    with pytest.raises(UnsupportedError, match="no threshold keeps the limits"):
        WholeNumbers(steps=100_000)(net)
