"""Files from elsewhere: without Input and Output, with axes that count a batch, without a step."""

from __future__ import annotations

import contextlib
import itertools

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.graphs import conv, graph, lif

from snn_deploy.core.errors import DataError, SnnDeployError
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.timing import Reading
from snn_deploy.simulate.reference import Reference


def linear(out: int, inputs: int) -> nir.Linear:
    return nir.Linear(np.random.default_rng(out).normal(size=(out, inputs)).astype(np.float32) * 3)


def flatten(start: int, shape=(2, 4, 4)) -> nir.Flatten:
    return nir.Flatten({"input": np.array(shape)}, start, -1)


def image_net(flat: nir.Flatten, source=(2, 4, 4), target=(3,)) -> nir.NIRGraph:
    nodes = {"c": conv(2, 2, 4), "n": lif((2, 4, 4)), "f": flat, "d": linear(3, 32), "m": lif((3,))}
    path = ["input", *nodes, "output"]
    return graph(nodes, list(itertools.pairwise(path)), source, target)


def read(net: nir.NIRGraph, tmp_path, **stated):
    nir.write(tmp_path / "model.nir", net)
    return read_plan(tmp_path / "model.nir", Reading(**stated))


def without_doors(net: nir.NIRGraph) -> nir.NIRGraph:
    inner = {name: node for name, node in net.nodes.items() if name not in {"input", "output"}}
    edges = [edge for edge in net.edges if not {"input", "output"} & set(edge)]
    return nir.NIRGraph(inner, edges, metadata={}, type_check=False)


def spikes(net) -> torch.Tensor:
    torch.manual_seed(0)
    return Reference(net).run((torch.rand(5, 4, 2, 4, 4) < 0.4).float()).output


def test_a_file_that_states_everything_leaves_nothing_to_assume(tmp_path):
    plan, notes = read(image_net(flatten(0)), tmp_path, dt=1e-4)
    assert notes == ()
    assert torch.equal(spikes(plan), spikes(image_net(flatten(0))))


def test_input_and_output_are_put_where_only_one_place_is(tmp_path):
    plan, notes = read(without_doors(image_net(flatten(0))), tmp_path)
    assert plan.shapes[plan.input] == (2, 4, 4)
    assert [note.split(";")[0] for note in notes] == [
        "The file has no Input node", "The file has no Output node",
    ]  # fmt: skip
    assert "'c'" in notes[0]
    assert "(2, 4, 4)" in notes[0]
    assert "'m'" in notes[1]
    assert torch.equal(spikes(plan), spikes(image_net(flatten(0))))


@pytest.mark.parametrize(
    ("first", "shape"),
    [
        (linear(3, 7), (7,)),
        (lif((3,)), (3,)),
        (nir.Conv1d(9, np.ones((3, 2, 3), np.float32), 1, 1, 1, 1, np.zeros(3, np.float32)), (2, 9)),
        (conv(4, 4, 6, groups=2), (4, 6, 6)),
        (flatten(0, (3, 1)), (3, 1)),
    ],
)
def test_the_shape_of_a_missing_input_is_what_the_first_node_takes(first, shape, tmp_path):
    net = nir.NIRGraph({"first": first, "s": nir.Scale(np.full(1, 2.0))}, [("first", "s")], type_check=False)
    plan, _ = read(net, tmp_path)
    assert plan.shapes[plan.input] == shape


def test_a_first_node_that_says_no_shape_is_named(tmp_path):
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    net = nir.NIRGraph({"pool": pool, "c": conv(1, 1, 2)}, [("pool", "c")], type_check=False)
    with pytest.raises(DataError, match="pool: SumPool2d whose input shape the file does not say"):
        read(net, tmp_path)


def test_several_places_for_an_input_or_output_are_refused(tmp_path):
    nodes = {"a": linear(2, 3), "b": linear(2, 3), "c": lif((2,))}
    with pytest.raises(DataError, match="a, b: 2 nodes that nothing feeds"):
        read(nir.NIRGraph(nodes, [("a", "c"), ("b", "c")], type_check=False), tmp_path)
    split = {"a": linear(2, 3), "b": lif((2,)), "c": lif((2,))}
    with pytest.raises(DataError, match="b, c: 2 nodes that feed nothing"):
        read(nir.NIRGraph(split, [("a", "b"), ("a", "c")], type_check=False), tmp_path)
    ring = {"a": linear(2, 2), "b": lif((2,))}
    with pytest.raises(DataError, match="0 nodes that nothing feeds"):
        read(nir.NIRGraph(ring, [("a", "b"), ("b", "a")], type_check=False), tmp_path)


@pytest.mark.parametrize(
    ("flat", "source", "target", "which"),
    [
        (flatten(1), (2, 4, 4), (3,), "Flatten (f)"),
        (flatten(0), (1, 2, 4, 4), (3,), "Input (input)"),
        (flatten(0), (2, 4, 4), (1, 3), "Output (output)"),
        (flatten(1), (1, 2, 4, 4), (1, 3), "Flatten and Input and Output (f, input, output)"),
    ],
)
def test_axes_that_count_a_batch_are_taken_without_it(flat, source, target, which, tmp_path):
    plan, (note,) = read(image_net(flat, source, target), tmp_path, dt=1e-4)
    assert f"The axes of {which} count a batch" in note
    assert torch.equal(spikes(plan), spikes(image_net(flatten(0))))


def test_where_the_file_fits_together_as_it_is_it_is_taken_so(tmp_path):
    nodes = {"f": nir.Flatten({"input": np.array([2, 3, 4])}, 1, -1), "s": nir.Scale(np.full(1, 2.0))}
    net = graph(nodes, [("input", "f"), ("f", "s"), ("s", "output")], (2, 3, 4), (2, 12))
    plan, notes = read(net, tmp_path)
    assert notes == ()
    assert plan.shapes["f"] == (2, 12)


def test_a_graph_that_fits_in_no_form_keeps_its_own_reason(tmp_path):
    net = image_net(flatten(1))
    net.nodes["d"] = linear(3, 31)
    with pytest.raises(DataError, match="expect an input of"):
        read(net, tmp_path)


def test_a_step_that_does_not_fit_points_to_the_flag(tmp_path):
    net = image_net(flatten(0))
    for name in ("n", "m"):
        net.nodes[name].tau = net.nodes[name].tau / 4
    with pytest.raises(DataError, match="shorter than the step") as caught:
        read(net, tmp_path)
    assert "--dt" in caught.value.hint
    plan, _ = read(net, tmp_path, dt=1e-5)
    assert read_semantics(plan.graph).dt == 1e-5


@settings(deadline=None, max_examples=80)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    doors=st.booleans(),
)
def test_damaged_files_give_one_clear_error_or_a_plan(flips, doors, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    net = image_net(flatten(1), (1, 2, 4, 4))
    nir.write(folder / "model.nir", net if doors else without_doors(net))
    content = bytearray((folder / "model.nir").read_bytes())
    for place, value in flips:
        content[min(int(place * len(content)), len(content) - 1)] = value
    (folder / "model.nir").write_bytes(content)
    with contextlib.suppress(SnnDeployError):
        read_plan(folder / "model.nir")


def test_an_axis_beyond_any_image_is_reported(tmp_path):
    with pytest.raises(SnnDeployError, match="damaged") as caught:
        read(image_net(flatten(-(2**31))), tmp_path)
    assert "beyond" in str(caught.value.problems[0])
