"""The reference simulator against an interpreter that shares no code with it, and its own contracts."""

from __future__ import annotations

import itertools
from math import prod

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.graphs import graph, lif
from support.kits import kit
from support.membranes import membranes64
from support.passes import portable
from support.random_graphs import exact_cases

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import write_nir
from snn_deploy.simulate import reference
from snn_deploy.simulate.base import Executable
from snn_deploy.simulate.reference import Reference, previous

interpreter = kit("run_nir")


def small_net(width: int = 4) -> nir.NIRGraph:
    rng = np.random.default_rng(0)
    nodes = {
        "first": nir.Linear(rng.normal(size=(width, 3)).astype(np.float32)),
        "first.neuron": lif((width,)),
        "second": nir.Linear(rng.normal(size=(2, width), scale=2).astype(np.float32)),
        "second.neuron": lif((2,)),
    }
    names = ["input", *nodes, "output"]
    return graph(nodes, list(itertools.pairwise(names)), (3,), (2,))


def recurrent_net() -> nir.NIRGraph:
    rng = np.random.default_rng(1)
    nodes = {
        "in": nir.Linear(rng.normal(size=(4, 3), scale=2).astype(np.float32)),
        "neuron": lif((4,)),
        "back": nir.Affine(rng.normal(size=(4, 4)).astype(np.float32), np.ones(4, np.float32)),
    }
    edges = [("input", "in"), ("in", "neuron"), ("neuron", "back"), ("back", "neuron"), ("neuron", "output")]
    return graph(nodes, edges, (3,), (4,))


@settings(deadline=None, max_examples=120)
@given(case=exact_cases())
def test_agrees_with_the_numpy_interpreter_and_with_float64(case, tmp_path_factory):
    path = tmp_path_factory.mktemp("case") / "model.nir"
    write_nir(portable(make_plan(case.graph))[0], path)
    expected, _, _ = interpreter.run(path, case.x.numpy())
    single = Reference(case.graph).run(case.x).output
    double = Reference(case.graph, dtype=torch.float64).run(case.x).output
    np.testing.assert_array_equal(single.numpy(), expected)
    np.testing.assert_array_equal(double.numpy(), expected)


@settings(deadline=None, max_examples=40)
@given(case=exact_cases())
def test_steps_blocks_and_continued_runs_give_the_same_values(case):
    simulator = Reference(case.graph)
    whole = simulator.run(case.x, record="all")
    state = simulator.initial_state(case.x.shape[1])
    outputs = []
    for x in case.x:
        y, state = simulator.step(x, state)
        outputs.append(y)
    assert torch.equal(torch.stack(outputs), whole.output)
    first = simulator.run(case.x[:1])
    rest = simulator.run(case.x[1:], state=first.state)
    assert torch.equal(torch.cat([first.output, rest.output]), whole.output)
    for name, values in whole.state.items():
        assert type(values) is type(state[name]) is type(rest.state[name])
        for a, b, c in zip(values, state[name], rest.state[name], strict=True):
            assert torch.equal(a, b)
            assert torch.equal(a, c)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(reference.BLOCK_ELEMENTS, "cpu", 1)
        assert all(
            torch.equal(values, whole.records[name])
            for name, values in Reference(case.graph).run(case.x, record="all").records.items()
        )


@settings(deadline=None, max_examples=30)
@given(case=exact_cases(), record=st.sampled_from([True, "all"]))
def test_blocks_are_the_records_of_a_run_cut_in_time(case, record):
    simulator = Reference(case.graph)
    expected = simulator.run(case.x, record=record).records
    largest = max(prod(shape) for shape in simulator.plan.shapes.values())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(reference.BLOCK_ELEMENTS, "cpu", largest * case.x.shape[1])
        # A block's memory is used again: what is kept is copied.
        parts = [
            {n: y.clone() for n, y in block.items()} for block in simulator.blocks(case.x, record=record)
        ]
    assert len(parts) == len(case.x)
    assert set(parts[0]) == set(expected)
    for name, values in expected.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), values)


def test_is_an_executable_whose_layers_are_the_spiking_nodes():
    simulator = Reference(small_net())
    assert isinstance(simulator, Executable)
    assert simulator.layers == ("first.neuron", "second.neuron")


def test_records_layers_or_every_node():
    simulator, x = Reference(small_net()), torch.rand(5, 2, 3)
    assert simulator.run(x).records == {}
    layers = simulator.run(x, record=True)
    assert list(layers.records) == ["input", "first.neuron", "second.neuron"]
    every = simulator.run(x, record="all")
    assert list(every.records) == ["input", "first", "first.neuron", "second", "second.neuron", "output"]
    assert torch.equal(every.records["input"], x)
    assert torch.equal(every.records["second.neuron"], layers.output)


def test_forced_layers_still_compute_their_own_output_but_only_the_forced_one_is_seen():
    simulator, x = Reference(small_net()), torch.rand(6, 2, 3) * 3
    free = simulator.run(x, record="all")
    given_spikes = 1.0 - free.records["first.neuron"]
    forced = simulator.run(x, record="all", forced={"first.neuron": given_spikes})
    assert torch.equal(forced.records["first.neuron"], free.records["first.neuron"])
    weight = torch.as_tensor(simulator.plan.node("second").weight)
    assert torch.allclose(forced.records["second"], given_spikes @ weight.T)
    assert not torch.equal(forced.records["second.neuron"], free.records["second.neuron"])
    again = simulator.run(x, forced={"first.neuron": free.records["first.neuron"]})
    assert torch.equal(again.output, free.output)


def test_a_forced_layer_is_what_a_loop_feeds_back():
    simulator = Reference(recurrent_net())
    spikes = torch.ones(3, 1, 4)
    trace = simulator.run(torch.zeros(3, 1, 3), record="all", forced={"neuron": spikes})
    back = simulator.plan.node("back")
    fed = np.concatenate([np.zeros((1, 4)), np.ones((2, 4))]) @ back.weight.T + back.bias
    np.testing.assert_allclose(trace.records["back"][:, 0].numpy(), fed, rtol=1e-6)
    assert torch.equal(trace.state[previous("neuron")][0], spikes[-1])


def test_leaves_the_given_state_unchanged():
    simulator = Reference(recurrent_net())
    before = simulator.run(torch.rand(4, 2, 3)).state
    copy = {name: [t.clone() for t in values] for name, values in before.items()}
    simulator.run(torch.rand(4, 2, 3), state=before)
    assert all(torch.equal(a, b) for name in before for a, b in zip(before[name], copy[name], strict=True))


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 4), (0, 2, 3), (5, 0, 3)])
def test_refuses_inputs_of_another_shape(shape):
    with pytest.raises(DataError, match=r"the input is .*node 'input' needs \[T, B, 3\]"):
        Reference(small_net()).run(torch.zeros(shape))


def test_refuses_unknown_and_misshapen_forced_layers_and_states():
    simulator, x = Reference(small_net()), torch.rand(4, 2, 3)
    with pytest.raises(ConfigError, match=r"Did you mean 'first.neuron'"):
        simulator.run(x, forced={"first.neurn": torch.zeros(4, 2, 4)})
    with pytest.raises(DataError, match=r"needs \[4, 2, 4\]"):
        simulator.run(x, forced={"first.neuron": torch.zeros(3, 2, 4)})
    with pytest.raises(DataError, match=r"state of 'first.neuron'.*expected \[\[3, 4\]\]"):
        simulator.run(torch.rand(4, 3, 3), state=simulator.initial_state(2))
    with pytest.raises(DataError, match="nothing"):
        simulator.run(x, state={})


def test_membranes_are_recomputed_with_the_given_resets():
    plan = make_plan(small_net())
    x = torch.full((4, 1, 4), 0.75)
    spikes = torch.zeros(4, 1, 4)
    spikes[1] = 1.0
    membranes = membranes64(plan, "first.neuron", x, spikes)
    assert membranes.dtype == torch.float64
    assert membranes[:, 0, 0].tolist() == pytest.approx([0.375, 0.5625, 0.375, 0.5625], abs=1e-7)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_runs_on_cuda():
    simulator, x = Reference(small_net(), device="cuda"), torch.rand(8, 4, 3)
    assert torch.equal(simulator.run(x).output.cpu(), Reference(small_net()).run(x).output)
