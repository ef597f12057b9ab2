"""Reading and writing NIR files: round trips, and files that are damaged or hostile."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.graphs import conv, graph, lif
from support.passes import portable
from support.random_graphs import exact_cases

from snn_deploy.core.errors import DataError
from snn_deploy.graph.passes.for_readers.encoding import PortableEncoding
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers import io, untrusted
from snn_deploy.graph.readers.io import read_nir, write_nir
from snn_deploy.graph.semantics import Semantics, read_semantics, write_semantics
from snn_deploy.simulate.reference import Reference


def small() -> nir.NIRGraph:
    nodes = {
        "block1.conv": conv(2, 1, 6),
        "block1.neuron": lif((2, 6, 6)),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([2, 3, 3])}, 0, -1),
        "fc": nir.Affine(np.ones((3, 18), np.float32), np.ones(3, np.float32)),
    }
    names = ["input", *nodes, "output"]
    net = graph(nodes, list(itertools.pairwise(names)), (1, 6, 6), (3,))
    write_semantics(net, Semantics(timesteps=7, classes=("a", "b", "c")))
    return net


@pytest.fixture
def file(tmp_path) -> Path:
    write_nir(small(), tmp_path / "model.nir")
    return tmp_path / "model.nir"


@settings(deadline=None, max_examples=60)
@given(case=exact_cases())
def test_what_is_written_is_read_back(case, tmp_path_factory):
    path = tmp_path_factory.mktemp("io") / "model.nir"
    lowered, _ = portable(make_plan(case.graph))
    write_nir(lowered, path)
    again = read_nir(path)
    assert again.edges == lowered.edges
    assert read_semantics(again) == read_semantics(lowered)
    for name, node in lowered.nodes.items():
        assert type(again.nodes[name]) is type(node)
        for key, value in node.to_dict().items():
            if key not in {"metadata", "input_shape", "input_type", "type"}:
                np.testing.assert_array_equal(again.nodes[name].to_dict()[key], value)
    assert torch.equal(Reference(again).run(case.x).output, Reference(lowered).run(case.x).output)


def test_reads_what_nir_wrote_and_nir_reads_what_we_wrote(tmp_path):
    net = small()
    nir.write(tmp_path / "theirs.nir", net)
    write_nir(net, tmp_path / "ours.nir")
    x = torch.rand(3, 2, 1, 6, 6)
    expected = Reference(net).run(x).output
    assert torch.equal(Reference(read_nir(tmp_path / "theirs.nir")).run(x).output, expected)
    theirs = nir.read(tmp_path / "ours.nir")
    assert torch.equal(Reference(theirs).run(x).output, expected)


def test_nested_graphs_scalars_and_metadata(tmp_path):
    inner = nir.NIRGraph(
        {
            "i": nir.Input({"input": np.array([3])}),
            "n": nir.LIF(
                *(np.float64(v) for v in (2e-4, 1.0, 0.0, 1.0, 0.0)), metadata={"note": "hello", "n": 3}
            ),
            "o": nir.Output({"output": np.array([3])}),
        },
        [("i", "n"), ("n", "o")],
        metadata={},
        type_check=False,
    )
    net = graph({"block": inner}, [("input", "block"), ("block", "output")], (3,), (3,))
    nir.write(tmp_path / "nested.nir", net)
    again = read_nir(tmp_path / "nested.nir")
    node = again.nodes["block"].nodes["n"]
    assert node.metadata["note"] == "hello"
    assert node.metadata["n"] == 3
    assert float(node.v_reset) == 0.0
    assert make_plan(again).order == ("input", "block.n", "output")


def test_metadata_survive_being_read_and_written_again(tmp_path):
    net = small()
    stated = {"fixed": True, "count": 3, "rate": 0.5, "text": "a", "several": np.arange(3)}
    net.nodes["input"].metadata.update(stated)
    for name in ("once.nir", "twice.nir"):
        write_nir(PortableEncoding()(net), tmp_path / name)
        net = read_nir(tmp_path / name)
        found = net.nodes["input"].metadata
        assert found.keys() == stated.keys()
        assert all(np.array_equal(found[key], value) for key, value in stated.items())


def test_fields_added_by_later_versions_have_their_defaults(file):
    with h5py.File(file, "a") as content:
        del content["node/nodes/block1.neuron/v_reset"]
    assert not read_nir(file).nodes["block1.neuron"].v_reset.any()


def test_writing_is_atomic_and_deterministic(tmp_path, monkeypatch):
    write_nir(small(), tmp_path / "a.nir")
    write_nir(small(), tmp_path / "b.nir")
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()

    def fail(path, _graph):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(io.nir, "write", fail)
    with pytest.raises(OSError, match="No space"):
        write_nir(small(), tmp_path / "c.nir")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nir", "b.nir"]


@pytest.mark.parametrize("name", ["a/b", "", ".", "..", "x" * 300, "new\nline"])
def test_names_that_hdf5_cannot_hold_are_refused(name, tmp_path):
    net = graph({name: lif((2,))}, [("input", name), (name, "output")], (2,), (2,))
    with pytest.raises(DataError, match="cannot be written"):
        write_nir(net, tmp_path / "x.nir")


def replace(content: h5py.File, path: str, value, **options) -> None:
    del content[path]
    content.create_dataset(path, data=value, **options)


def _virtual(content: h5py.File) -> None:
    del content["node/nodes/fc/weight"]
    layout = h5py.VirtualLayout(shape=(3, 18), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(3, 18))
    content.create_virtual_dataset("node/nodes/fc/weight", layout)


def _external(content: h5py.File) -> None:
    del content["node/nodes/fc/bias"]
    content.create_dataset("node/nodes/fc/bias", (3,), "f4", external=[("/etc/passwd", 0, 12)])


def _bomb(content: h5py.File) -> None:
    del content["node/nodes/fc/weight"]
    content.create_dataset("node/nodes/fc/weight", (1 << 20, 1 << 20), "f4", chunks=(1 << 10, 1 << 10))


def _unwritten(content: h5py.File) -> None:
    del content["node/nodes/fc/weight"]
    content.create_dataset("node/nodes/fc/weight", (1 << 12, 1 << 12), "f4", chunks=(1 << 10, 1 << 10))


def _cycle(content: h5py.File) -> None:
    content["node/nodes/self"] = content["node"]


def _many_long_names(content: h5py.File) -> None:
    del content["node/edges"]
    content["node"].create_dataset("edges", data=[["input", "x" * 5000]] * 3, dtype=h5py.string_dtype())


DAMAGE = {
    "no graph": (lambda f: f.__delitem__("node"), "has no 'node'"),
    "graph is a dataset": (lambda f: replace(f, "node", 1), "is not a group"),
    "not a graph": (lambda f: replace(f, "node/type", "LIF"), "has the type 'LIF'"),
    "type is a number": (lambda f: replace(f, "node/type", 3), "'type' is not a text"),
    "no nodes": (lambda f: f.__delitem__("node/nodes"), "has no 'nodes'"),
    "no edges": (lambda f: f.__delitem__("node/edges"), "has no 'edges'"),
    "edges of numbers": (lambda f: replace(f, "node/edges", np.ones((3, 2))), "pairs of node names"),
    "edges of triples": (lambda f: replace(f, "node/edges", [["a", "b", "c"]]), "pairs of node names"),
    "edge names too long": (_many_long_names, "holds a text of 5000 bytes"),
    "unknown node": (lambda f: replace(f, "node/nodes/fc/type", "Afine"), "Did you mean 'Affine'"),
    "missing field": (lambda f: f.__delitem__("node/nodes/fc/bias"), "Affine without bias"),
    "extra field": (lambda f: f.__setitem__("node/nodes/fc/gain", 2.0), "unknown fields gain"),
    "field is a group": (
        lambda f: (f.__delitem__("node/nodes/fc/bias"), f.create_group("node/nodes/fc/bias")),
        "is not a dataset",
    ),
    "text for numbers": (lambda f: replace(f, "node/nodes/fc/bias", "abc"), "instead of numbers"),
    "complex numbers": (lambda f: replace(f, "node/nodes/fc/bias", np.ones(3, complex)), "instead of"),
    "not finite": (lambda f: replace(f, "node/nodes/fc/bias", np.full(3, np.nan)), "not finite"),
    "no content": (lambda f: replace(f, "node/nodes/fc/bias", h5py.Empty("f4")), "instead of numbers"),
    "too many axes": (lambda f: replace(f, "node/nodes/fc/bias", np.ones((1,) * 9)), "9 axes"),
    "fractional stride": (lambda f: replace(f, "node/nodes/pool/stride", [1.5, 1]), "not an integer"),
    "stride beyond 32 bits": (lambda f: replace(f, "node/nodes/pool/stride", [2**40, 1]), "32 bits"),
    "unknown padding": (lambda f: replace(f, "node/nodes/block1.conv/padding", "full"), ""),
    "several groups": (lambda f: replace(f, "node/nodes/block1.conv/groups", [1, 2]), ""),
    "wrong kernel rank": (
        lambda f: replace(f, "node/nodes/block1.conv/weight", np.ones((2, 1, 3))), "4 axes",
    ),
    "weight without axes": (lambda f: replace(f, "node/nodes/fc/weight", 1.0), "at least 2 axes"),
    "neuron shapes": (
        lambda f: replace(f, "node/nodes/block1.neuron/tau", np.ones((5,))), "parameters of different shapes",
    ),
    "negative shape": (lambda f: replace(f, "node/nodes/input/shape", [-1, 6, 6]), ""),
    "link to a file": (
        lambda f: (
            f.__delitem__("node/nodes/fc"),
            f["node/nodes"].__setitem__("fc", h5py.ExternalLink("/etc/passwd", "/")),
        ),
        "link to another place",
    ),
    "soft link": (
        lambda f: (
            f.__delitem__("node/nodes/fc"),
            f["node/nodes"].__setitem__("fc", h5py.SoftLink("/node/nodes/pool")),
        ),
        "link to another place",
    ),
    "virtual data": (_virtual, "another file"),
    "external data": (_external, "another file"),
    "declares what it does not store": (_unwritten, "declares 67108864 bytes, but stores 0"),
    "declares a tebibyte": (_bomb, "at most 4294967296 bytes"),
    "contains itself": (_cycle, "nested too deeply"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_files_give_one_clear_error(kind, file):
    damage, says = DAMAGE[kind]
    with h5py.File(file, "a") as content:
        damage(content)
    with pytest.raises(DataError) as caught:
        make_plan(read_nir(file))
    assert says in str(caught.value)


def test_files_that_are_missing_empty_or_something_else(tmp_path):
    with pytest.raises(DataError, match="There is no NIR file"):
        read_nir(tmp_path / "none.nir")
    with pytest.raises(DataError, match="There is no NIR file"):
        read_nir(tmp_path)
    (tmp_path / "empty.nir").write_bytes(b"")
    with pytest.raises(DataError, match="is empty; it is no NIR file"):
        read_nir(tmp_path / "empty.nir")
    for content in (b"not hdf5", b"\x89HDF\r\n\x1a\n" + bytes(100)):
        (tmp_path / "x.nir").write_bytes(content)
        with pytest.raises(DataError, match="not a readable NIR file"):
            read_nir(tmp_path / "x.nir")


def test_a_text_heap_on_which_hdf5_would_loop_for_ever(file):
    content = bytearray(file.read_bytes())
    heap = content.find(b"GCOL")
    first = heap + 16
    content[first : first + 2] = bytes(2)
    content[first + 8 : first + 16] = bytes(8)
    file.write_bytes(content)
    with pytest.raises(DataError, match="a text heap with a block of 0 bytes"):
        read_nir(file)
    content[heap + 8 : heap + 16] = (2**40).to_bytes(8, "little")
    file.write_bytes(content)
    with pytest.raises(DataError, match="a text heap that reaches beyond its end"):
        read_nir(file)


def test_names_that_are_no_text(file):
    with h5py.File(file, "a") as content:
        content["node/nodes"].move("fc", b"f\xff\xfe")
    with pytest.raises(DataError, match="names in UTF-8"):
        read_nir(file)


def test_a_file_beyond_the_limit_is_not_opened(file, monkeypatch):
    monkeypatch.setattr(untrusted, "MAX_FILE_BYTES", 10)
    with pytest.raises(DataError, match="larger than 10 bytes"):
        read_nir(file)


def test_too_many_nodes_and_edges(file, monkeypatch):
    monkeypatch.setattr(io, "MAX_NODES", 3)
    with pytest.raises(DataError, match="at most 3 nodes"):
        read_nir(file)
    monkeypatch.setattr(io, "MAX_NODES", 100)
    monkeypatch.setattr(io, "MAX_EDGES", 3)
    with pytest.raises(DataError, match="at most 3"):
        read_nir(file)


@settings(deadline=None, max_examples=60)
@given(cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4))
def test_truncated_and_flipped_bytes_never_give_another_error(cut, flips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    write_nir(small(), folder / "model.nir")
    content = bytearray((folder / "model.nir").read_bytes())
    for where, value in flips:
        content[int(where * (len(content) - 1))] = value
    (folder / "model.nir").write_bytes(content[: max(1, int((0.5 + cut) * len(content)))])
    try:
        make_plan(read_nir(folder / "model.nir"))
    except DataError as error:
        assert error.exit_code == 7


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.nir")
    with pytest.raises(DataError, match="There is no NIR file"):
        read_nir(tmp_path / "pipe.nir")
