"""Faults in lowering, quantising and reading back are caught by what these passes promise to keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np
import pytest
import torch
from support.graphs import graph, lif
from support.pass_cases import CASES

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.passes.protocol import BrokenPassError, Made, Pass, Stage
from snn_deploy.graph.passes.quantize.quantize import Quantize, Quantized
from snn_deploy.graph.passes.to_chip.layers import Chain
from snn_deploy.graph.passes.to_chip.loihi import Lower


@dataclass(frozen=True, eq=False)
class Spoilt(Pass[Any, Any]):
    """``step`` with a fault in what it makes."""

    name = "spoilt"
    step: Pass[Any, Any]
    spoil: Callable[[Any], Any]

    def apply(self, before: Any) -> Made[Any]:
        made = self.step.apply(before)
        return replace(made, subject=self.spoil(made.subject))

    def ensures(self, change: Any) -> Any:
        return self.step.ensures(change)


def caught(case: str, spoil: Callable[[Any], Any]) -> str:
    step, subject = CASES[case]
    with pytest.raises(BrokenPassError) as error:
        Spoilt(step, spoil)(subject)
    return str(error.value)


def layer(index: int, **fields: Any) -> Callable[[Chain], Chain]:
    def spoil(chain: Chain) -> Chain:
        layers = list(chain.layers)
        made = {name: value(layers[index]) for name, value in fields.items()}
        layers[index] = replace(layers[index], **made)
        return replace(chain, layers=tuple(layers))

    return spoil


def with_weight(rows: list[list[float]]) -> Callable[[Any], Any]:
    return lambda old: replace(old.map, weight=np.array(rows, np.float64))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (layer(2, map=with_weight([[1, 1, 0, 0]])), "c: is fed by b, before by a, b"),
        (layer(2, map=with_weight([[0, 0, 5, 6]])), "c: is fed by a, before by a, b"),
        (layer(2, threshold=lambda old: 5.0), "c: threshold 5.0, before 4"),
        (layer(2, threshold=lambda old: None), "c: threshold None, before 4"),
        (layer(1, members=lambda old: old.members[:1]), "c: is fed by b, before by a, b"),
        (layer(1, members=lambda old: (replace(old.members[0], count=1),)), "b: holds (1,) neurons"),
        (layer(1, name=lambda old: "other"), "other: comes from 'other'"),
        (layer(0, shape=lambda old: (3,)), "a: holds (3,) neurons, before (2,)"),
    ],
)  # fmt: skip
def test_lowering(spoil, says):
    assert says in caught("lower_skip_path", spoil)


def longer(old: Any) -> Any:
    return old.delay + 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (layer(0, delay=longer), "a: spikes of 'input' wait 1 to 3 steps, before 0 to 2"),
        (layer(1, recurrent=lambda old: None), "a: is fed by input, before by a, input"),
        (layer(1, recurrent=lambda old: 0 * old.recurrent), "a: is fed by input, before by a, input"),
        (layer(2, recurrent=lambda old: np.ones((1, 1))), "b: is fed by a, b, before by a"),
        (layer(2, delay=longer), "b: spikes of 'a' wait 2 to 2 steps, before 1 to 1"),
        (layer(2, delay=lambda old: None), "b: spikes of 'a' wait 0 to 0 steps, before 1 to 1"),
    ],
)
def test_lowering_loops_and_delays(spoil, says):
    assert says in caught("lower_loop_and_delays", spoil)


def recurrent(**fields: Any) -> Callable[[Quantized], Quantized]:
    """Another layer ``a`` of the network that :func:`test_quantising_a_loop` makes."""

    def spoil(quantized: Quantized) -> Quantized:
        first, relays, a, b = quantized.net.layers
        layers = (first, relays, replace(a, **fields), b)
        return replace(quantized, net=replace(quantized.net, layers=layers))

    return spoil


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"recurrent": None}, "a: recurrent weights on one side only"),
        ({"recurrent": np.full((2, 2), 3)}, "a: recurrent weights 3..3; rule: multiples of 2"),
        ({"recurrent": np.full((2, 2), 2**16)}, "a: sums up to 131"),
        ({"recurrent": np.full((2, 1), 2)}, "a: recurrent weights of shape (2, 1), before (2, 2)"),
        ({"delay": np.ones((2, 2), np.int64)}, "a: other delays than before"),
    ],
)
def test_quantising_a_loop(fields, says):
    lower, subject = CASES["lower_loop_and_delays"]
    x, fired = torch.ones(4, 1, 2), {name: torch.ones(4, 1, n) for name, n in (("a", 2), ("b", 1))}
    with pytest.raises(BrokenPassError) as error:
        Spoilt(Quantize(x, fired), recurrent(**fields))(lower(subject))
    assert says in str(error.value)


def test_a_layer_lost_in_lowering():
    spoil: Callable[[Chain], Chain] = lambda chain: replace(chain, layers=chain.layers[1:])  # noqa: E731
    assert "a: is lost" in caught("lower_skip_path", spoil)


def quantised(index: int, **fields: Any) -> Callable[[Quantized], Quantized]:
    """Another population ``index`` of the net that the case makes: it has a flatten before the second."""

    def spoil(quantized: Quantized) -> Quantized:
        layers = list(quantized.net.layers)
        at = (1, 3)[index]
        layers[at] = replace(layers[at], **{name: value(layers[at]) for name, value in fields.items()})
        return replace(quantized, net=replace(quantized.net, layers=tuple(layers)))

    return spoil


def neuron(**fields: int) -> Callable[[Any], Any]:
    return lambda old: replace(old.neuron, **{k: np.asarray(v, np.int64) for k, v in fields.items()})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (quantised(0, neuron=neuron(threshold=10)), "n: threshold 10; rule: at most one unit from 8 units"),
        (quantised(1, neuron=neuron(threshold=10)), "fc: threshold 10; rule: at most one unit from never"),
        (quantised(0, neuron=neuron(voltage_decay=1)), "n: voltage decay 1; rule: the nearest 4096th to 0"),
        (quantised(0, neuron=neuron(current_decay=0)), "n: current decay 0"),
        (quantised(1, weight=lambda old: old.weight + 1), "fc: weights 3..9; rule: multiples of 2"),
        (quantised(1, weight=lambda old: old.weight * 100), "fc: weights 200..800"),
        (quantised(1, weight=lambda old: old.weight[:, :3]), "fc: weights of shape (1, 3), before (1, 4)"),
        (quantised(0, shape=lambda old: (1, 3, 3)), "n: has the shape (1, 3, 3), before (1, 2, 2)"),
        (lambda q: replace(q, net=replace(q.net, names=("n", "other"))), "other: comes from 'other'"),
    ],
)
def test_quantising(spoil, says):
    assert says in caught("quantise", spoil)


def edges(change: Callable[[list[tuple[str, str]]], Any]) -> Callable[[nir.NIRGraph], nir.NIRGraph]:
    def spoil(net: nir.NIRGraph) -> nir.NIRGraph:
        change(net.edges)
        return net

    return spoil


def node(name: str, field: str, value: Any) -> Callable[[nir.NIRGraph], nir.NIRGraph]:
    def spoil(net: nir.NIRGraph) -> nir.NIRGraph:
        setattr(net.nodes[name], field, value)
        return net

    return spoil


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (edges(lambda found: found.remove(("b.recurrent", "b"))), "a chain with the loops of the file"),
        (edges(lambda found: found.append(("input", "b.weights"))), "a chain with the loops of the file"),
        (node("a.weights", "weight", np.array([[2, 0], [-2, 6]])), "a: 3 weights, in the file 4"),
        (node("b", "v_threshold", np.array([9.0])), "b: fires at 9"),
        (node("a.weights", "weight", np.ones((3, 2))), "(3,)"),
    ],
)
def test_reading_a_net_file_back(spoil, says):
    assert says in caught("graph_of_a_net_file", spoil)


def moved(name: str, steps: float) -> Callable[[nir.NIRGraph], nir.NIRGraph]:
    def spoil(net: nir.NIRGraph) -> nir.NIRGraph:
        net.nodes[name].delay = net.nodes[name].delay + 1e-3 * steps
        return net

    return spoil


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (moved("a.delay", 1), "a: delays (1, 4), in the file (0, 3)"),
        (moved("c.delay2", 2), "c: delays (0, 5), in the file (0, 3)"),
        (edges(lambda found: found.remove(("c.weights2", "c"))), "a chain with the loops of the file"),
    ],
)
def test_reading_delays_back(spoil, says):
    assert says in caught("graph_of_delays", spoil)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"weight": np.array([[127, -1], [1, 127]], np.int8)}, "fc: weights further than half a step away"),
        ({"weight_scales": np.array([1, 1], np.float32)}, "fc: weights further than half a step away"),
        ({"bias": np.array([20, 5], np.int32)}, "fc: a bias further than half a step away"),
        ({"bias": None}, "fc: a bias further than half a step away"),
        ({"weight": np.zeros((2, 3), np.int8)}, "fc: has no integers of its shape"),
    ],
)
def test_int8(fields, says):
    def spoil(form: Any) -> Any:
        return replace(form, layers={"fc": replace(form.layers["fc"], **fields)})

    assert says in caught("int8", spoil)
    assert "has no integers" in caught("int8", lambda form: replace(form, layers={}))


def side_by_side(weight: float) -> nir.NIRGraph:
    """a and b become one layer of the chain."""
    nodes = {
        "to_a": nir.Linear(np.full((2, 2), weight, np.float32)),
        "to_b": nir.Linear(np.full((2, 2), weight, np.float32)),
        "a": lif((2,)),
        "b": lif((2,)),
        "end": nir.Linear(np.ones((2, 2), np.float32)),
        "c": lif((2,)),
    }
    links = [("input", "to_a"), ("input", "to_b"), ("to_a", "a"), ("to_b", "b"), ("a", "end"), ("b", "end")]
    return graph(nodes, [*links, ("end", "c"), ("c", "output")], (2,), (2,))


def test_a_layer_of_the_chain_comes_from_all_that_lies_in_it():
    made = Stage.of(side_by_side(1.0)).then(Lower())
    assert made.authors["a+b"] == ("to_a", "a", "to_b", "b")
    assert made.authors["c"] == ("end", "c", "output")
    assert made.passes[0]["made"]["a+b"] == ["to_a", "a", "to_b", "b"]


def test_a_layer_that_cannot_be_quantised_is_named_as_its_author_called_it():
    made = Stage.of(side_by_side(0.0)).then(Lower())
    x = torch.ones(2, 1, 2)
    fired = {name: torch.ones(2, 1, 2) for name in ("a", "b", "c")}
    with pytest.raises(UnsupportedError) as error:
        made.then(Quantize(x, fired))
    assert error.value.problems[0].where == "to_a, a, to_b, b"
