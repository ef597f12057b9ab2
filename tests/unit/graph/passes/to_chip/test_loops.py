"""Loops and delays that a .net file holds are exact in it; all others are refused with the way out."""

from __future__ import annotations

import itertools

import nir
import numpy as np
import pytest
import torch
from support.graphs import conv, graph, lif
from support.recurrent_graphs import DT, random_case

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.export.pipelines import lowered
from snn_deploy.graph.lava.net import Dense, LavaNet
from snn_deploy.graph.passes.quantize.quantize import Quantize
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.simulate.reference import Reference

RNG = np.random.default_rng(5)
Edges = list[tuple[str, str]]


def weights(*shape: int) -> nir.Linear:
    """Even, of both signs, the largest 254."""
    weight = 2 * RNG.integers(-60, 127, shape)
    weight.flat[:2] = 254, -60
    return nir.Linear(weight.astype(np.float32))


def fires(*shape: int, at: float = 301.0) -> nir.IF:
    return nir.IF(np.full(shape, 1 / DT), np.full(shape, at), np.zeros(shape))


def late(steps: float, *shape: int) -> nir.Delay:
    return nir.Delay(np.full(shape, steps * DT))


def row(*names: str) -> Edges:
    return list(itertools.pairwise(["input", *names, "output"]))


def exact(nodes: dict[str, nir.NIRNode], edges: Edges, source, target, x: torch.Tensor) -> LavaNet:
    """The file of the graph, which fires as the graph."""
    net = graph(nodes, edges, source, target)
    write_semantics(net, Semantics(dt=DT, fires_at=">=", timesteps=len(x)))
    expected = Reference(net).run(x, record=True)
    made = lowered(net).then(Quantize(x, expected.records)).subject.net
    found = Loihi(made).run(x, record=True)
    assert torch.equal(found.output, expected.output)
    for name in Reference(net).layers:
        assert torch.equal(found.records[name], expected.records[name]), name
        assert expected.records[name].any(), name
    return made


def spikes(*shape: int, steps: int = 12) -> torch.Tensor:
    return torch.from_numpy((RNG.random((steps, 4, *shape)) < 0.5).astype(np.float32))


def test_neurons_that_feed_themselves_without_weights():
    nodes = {"fc": weights(6, 5), "n": fires(6), "out": weights(2, 6), "m": fires(2)}
    nodes["amplify"] = nir.Scale(np.full(6, 60.0))
    edges = [*row("fc", "n", "out", "m"), ("n", "amplify"), ("amplify", "n")]
    made = exact(nodes, edges, (5,), (2,), spikes(5))
    first = made.populations[0]
    assert isinstance(first, Dense) and first.recurrent is not None
    assert (first.recurrent == 60 * np.eye(6)).all()


def test_two_loops_around_one_population_add():
    nodes = {"fc": weights(6, 5), "n": fires(6), "one": weights(6, 6), "two": nir.Linear(-np.eye(6) * 30)}
    edges = [*row("fc", "n"), ("n", "one"), ("one", "n"), ("n", "two"), ("two", "n")]
    first = exact(nodes, edges, (5,), (6,), spikes(5)).populations[0]
    assert isinstance(first, Dense) and first.recurrent is not None
    assert (first.recurrent == nodes["one"].weight - 30 * np.eye(6)).all()


def test_recurrent_populations_side_by_side_with_a_relay():
    """a and b lie in one layer; c sees both, and the input past them."""
    nodes = {
        "to_a": weights(4, 5),
        "a": fires(4, at=201.0),
        "to_b": weights(3, 5),
        "b": fires(3, at=201.0),
        "b.back": weights(3, 3),
        "a.back": weights(4, 4),
        "a.c": weights(2, 4),
        "b.c": weights(2, 3),
        "x.c": weights(2, 5),
        "c": fires(2),
    }
    edges = [("input", "to_a"), ("to_a", "a"), ("input", "to_b"), ("to_b", "b"), ("input", "x.c")]
    edges += [("a", "a.c"), ("b", "b.c"), ("a.c", "c"), ("b.c", "c"), ("x.c", "c"), ("c", "output")]
    edges += [("a", "a.back"), ("a.back", "a"), ("b", "b.back"), ("b.back", "b")]
    first = exact(nodes, edges, (5,), (2,), spikes(5)).populations[0]
    assert isinstance(first, Dense) and first.recurrent is not None
    assert first.recurrent.shape == (4 + 3 + 5,) * 2
    assert not first.recurrent[:4, 4:].any() and not first.recurrent[4:7, :4].any()
    assert not first.recurrent[7:].any() and not first.recurrent[:, 7:].any()


def test_thresholds_that_differ_scale_both_matrices():
    nodes = {"fc": weights(3, 5), "n": fires(3), "back": weights(3, 3), "out": weights(2, 3), "m": fires(2)}
    nodes["n"].v_threshold = np.array([128.0, 256.0, 512.0])
    net = graph(nodes, [*row("fc", "n", "out", "m"), ("n", "back"), ("back", "n")], (5,), (2,))
    layer = lowered(net).subject.layers[0]
    rows = nodes["n"].v_threshold[:, None]
    assert layer.recurrent is not None and layer.threshold == 1
    np.testing.assert_allclose(layer.map.weight, nodes["fc"].weight / rows)
    np.testing.assert_allclose(layer.recurrent, nodes["back"].weight / rows)


def test_one_input_held_for_two_times_before_a_recurrent_layer():
    nodes = {
        "soon": late(1, 5),
        "fc1": weights(4, 5),
        "later": nir.Delay(DT * np.array([0, 3, 2, 5, 1])),
        "fc2": weights(4, 5),
        "fc3": weights(4, 5),
        "n": fires(4, at=501.0),
        "back": weights(4, 4),
    }
    edges = [("input", "soon"), ("soon", "fc1"), ("fc1", "n"), ("input", "later"), ("later", "fc2")]
    edges += [("fc2", "n"), ("input", "fc3"), ("fc3", "n"), ("n", "back"), ("back", "n"), ("n", "output")]
    made = exact(nodes, edges, (5,), (4,), spikes(5))
    assert [span.name for span in made.spans[0]] == ["input@n", "input[late1]@n", "input[late2]@n"]
    relays = made.populations[0]
    assert isinstance(relays, Dense) and relays.delay is not None
    assert relays.neuron is not None and not relays.neuron.threshold.ndim
    on = np.nonzero(relays.weight)
    assert relays.delay[on].tolist() == [0] * 5 + [0, 3, 2, 5, 1] + [1] * 5


def test_an_image_is_delayed_pooled_and_flattened_into_a_dense_layer():
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.zeros(2, int))
    steps = RNG.integers(0, 6, (2, 4, 4))
    nodes = {
        "late": nir.Delay(DT * steps),
        "pool": pool,
        "later": late(2, 2, 2, 2),
        "flat": nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1),
        "fc": weights(4, 8),
        "n": fires(4, at=901.0),
    }
    made = exact(nodes, row(*nodes), (2, 4, 4), (4,), spikes(2, 4, 4, steps=16))
    layer = made.populations[0]
    assert isinstance(layer, Dense) and layer.delay is not None
    assert (layer.delay == steps.reshape(-1) + 2).all()


def test_sixty_two_steps_and_a_delayed_output():
    """Spikes at the output wait, too: it is then read by the membrane."""
    nodes = {"late": late(62, 5), "fc": weights(4, 5), "n": fires(4), "end": late(3, 4)}
    made = exact(nodes, row(*nodes), (5,), (4,), spikes(5, steps=80))
    assert made.readout is not None
    first, last = made.populations
    assert isinstance(first, Dense) and isinstance(last, Dense)
    assert (first.delay == 62).all() and (last.delay == 3).all()


@pytest.mark.parametrize("seed", [0, 3, 8])
def test_what_is_given_returns_in_place_of_own_spikes(seed: int):
    """As in the reference: so a flip counts once, where it happens."""
    case = random_case(seed)
    reference = Reference(case.graph)
    free = reference.run(case.x, record=True)
    made = lowered(case.graph).then(Quantize(case.x, free.records)).subject.net
    generator = torch.Generator().manual_seed(seed)
    given = {
        n: (torch.rand(free.records[n].shape, generator=generator) < 0.4).float() for n in reference.layers
    }
    expected = reference.run(case.x, record=True, forced=given)
    found = Loihi(made).run(case.x, record=True, forced=given)
    assert any(isinstance(p, Dense) and p.recurrent is not None for p in made.populations)
    for name in reference.layers:
        assert torch.equal(found.records[name], expected.records[name]), name


ONE = np.ones(2)
EYE, IMAGE = nir.Linear(np.eye(2)), (1, 2, 2)
AFFINE = nir.Affine(np.eye(2), ONE)
CHAIN = {"fc": EYE, "n": lif((2,))}
UNEVEN = nir.Delay(DT * np.array([1.0, 2.0]))


def _refused(nodes: dict[str, nir.NIRNode], edges: Edges, source=(2,), target=(2,)) -> list[str]:
    with pytest.raises(UnsupportedError) as caught:
        lowered(graph(nodes, edges, source, target))
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("nodes", "edges", "says"),
    [
        (
            {**CHAIN, "up": EYE, "m": lif((2,)), "back": EYE},
            [*row("fc", "n", "up", "m"), ("m", "back"), ("back", "n")],
            "n: sees 'm' of the step before, in a loop over several populations; rule: a population returns",
        ),
        (
            {**CHAIN, "late": late(1, 2), "back": EYE},
            [*row("fc", "n"), ("n", "late"), ("late", "back"), ("back", "n")],
            "late: a delay in a loop; rule: spikes return to their neurons one step later",
        ),
        (
            {"late": late(1, 2), **CHAIN},
            [*row("late", "fc", "n"), ("n", "late")],
            "n: returns to itself after 2 steps",
        ),
        (
            {"fc": EYE, "n": nir.I(ONE / DT), "back": EYE},
            [*row("fc", "n"), ("n", "back"), ("back", "n")],
            "n: feeds its membrane back",
        ),
        ({"fc": EYE, "late": UNEVEN, "n": lif((2,)), "back": EYE}, None, "with different delays"),
        ({"fc": AFFINE, "late": late(1, 2), "n": lif((2,))}, row("fc", "late", "n"), "the bias of 'fc'"),
        ({"late": late(63, 2), **CHAIN}, row("late", "fc", "n"), "wait 63 steps; rule: delays of at most 62"),
        (
            {"one": EYE, "late": late(1, 2), "two": EYE, "n": lif((2,))},
            [*row("one", "n"), ("input", "late"), ("late", "two"), ("two", "n")],
            "n: sees 'input' by two paths of different delays; rule: one delay per synapse",
        ),
    ],
)
def test_what_remains_is_refused(nodes, edges, says: str) -> None:
    edges = edges or [*row("fc", "late", "n"), ("n", "back"), ("back", "n")]
    problems = _refused(nodes, edges)
    assert any(says in problem for problem in problems), problems
    assert "try: " in problems[0] or "membrane" in problems[0]


def test_images_neither_wait_nor_return() -> None:
    nodes = {"late": late(1, *IMAGE), "conv": conv(1, 1, 2), "n": lif(IMAGE)}
    (problem,) = _refused(nodes, row(*nodes), IMAGE, IMAGE)
    assert "n: a convolution, or an image, of delayed spikes of 'input'" in problem
    nodes = {"conv": conv(1, 1, 2), "n": lif(IMAGE), "back": conv(1, 1, 2)}
    (problem,) = _refused(nodes, [*row("conv", "n"), ("n", "back"), ("back", "n")], IMAGE, IMAGE)
    assert "n: returns to itself by a convolution, or as an image" in problem
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.zeros(2, int))
    flat = nir.Flatten({"input": np.array([1, 1, 2])}, 0, -1)
    uneven = nir.Delay(DT * np.array([[[1.0, 2.0]]]))
    nodes = {"pool": pool, "late": uneven, "flat": flat, "fc": EYE, "n": lif((2,))}
    (problem,) = _refused(nodes, row(*nodes), (1, 2, 4))
    assert "late: elements of a pool or convolution wait differently" in problem


def test_counts_cannot_be_held_before_a_recurrent_layer() -> None:
    nodes = {"late": late(1, 5), "fc": weights(4, 5), "n": fires(4), "back": weights(4, 4)}
    edges = [*row("late", "fc", "n"), ("n", "back"), ("back", "n")]
    x = 2 * spikes(5) + spikes(5)
    with pytest.raises(UnsupportedError, match="relay neurons pass on spikes"):
        exact(nodes, edges, (5,), (4,), x)


def test_delays_of_parts_of_a_step_say_what_to_try() -> None:
    nodes = {"late": late(0.5, 2), **CHAIN}
    with pytest.raises(Exception, match=r"late: Delay: .* no whole number[\s\S]*try: .*--dt"):
        lowered(graph(nodes, row("late", "fc", "n"), (2,), (2,)))
