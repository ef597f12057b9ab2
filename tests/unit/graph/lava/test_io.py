"""The .net reader and writer: what goes in comes out, and nothing unknown or unsafe is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.lava_nets import KINDS, random_net

from snn_deploy.core.errors import DataError, UnsupportedError
from snn_deploy.graph.lava.io import read_net, write_net
from snn_deploy.graph.lava.net import NEVER_FIRES, Conv, Cuba, Dense, Flatten, Input, LavaNet
from snn_deploy.graph.readers import hdf5


def _assert_equal(found: object, expected: object) -> None:
    """Equality of nested dataclasses, tuples and arrays."""
    assert type(found) is type(expected)
    if hasattr(expected, "__dataclass_fields__"):
        for field in fields(expected):  # type: ignore[arg-type]
            _assert_equal(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, tuple):
        assert isinstance(found, tuple)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            _assert_equal(a, b)
    elif isinstance(expected, np.ndarray):
        assert isinstance(found, np.ndarray)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_round_trip(kind: str, seed: int, tmp_path: Path) -> None:
    net = replace(random_net(seed, kind), timesteps=7, classes=("a", "b"), input_scale=0.25, decode="last")
    write_net(net, tmp_path / "model.net")
    _assert_equal(read_net(tmp_path / "model.net"), net)


def test_file_has_the_entries_that_netx_reads(tmp_path: Path) -> None:
    weight = np.arange(-8, 8).reshape(4, 1, 2, 2) * 2
    layers = (
        Input((2, 5, 4)),
        Conv((4, 2, 3), weight, Cuba.of(4096, 128, 64), np.arange(4), (2, 1), (0, 0), (1, 1), 2),
        Flatten((24,)),
        Dense(np.full((3, 24), 2), Cuba.of(1024, 0, 10)),
    )
    write_net(LavaNet(layers, ("conv", "dense")), tmp_path / "m.net")
    with h5py.File(tmp_path / "m.net") as file:
        assert [file[f"layer/{i}/type"][0] for i in range(4)] == [b"input", b"conv", b"flatten", b"dense"]
        conv = file["layer/1"]
        assert conv["type"].dtype == np.dtype("S10") and conv["type"].shape == (1,)
        assert conv["groups"].shape == () and conv["groups"][()] == 2
        assert conv["weight"].dtype == np.float32
        np.testing.assert_array_equal(conv["weight"][()], weight)
        assert conv["kernelSize"][()].tolist() == [2, 2] and conv["stride"][()].tolist() == [2, 1]
        assert (conv["inChannels"][()], conv["outChannels"][()]) == (2, 4)
        neuron = conv["neuron"]
        assert neuron["type"][()] == b"CUBA"
        values = {
            name: neuron[name][()] for name in ("iDecay", "vDecay", "vThMant", "refDelay", "gradedSpike")
        }
        assert values == {"iDecay": 4096, "vDecay": 128, "vThMant": 64, "refDelay": 1, "gradedSpike": False}
        assert "bias" not in file["layer/3"]


def test_writer_refuses_what_lava_would_change_and_leaves_no_file(tmp_path: Path) -> None:
    net = LavaNet((Input((2,)), Dense(np.array([[-8, 0]]), Cuba.of(4096, 0, 10))), ("dense",))
    with pytest.raises(UnsupportedError, match="largest weight is exactly 0"):
        write_net(net, tmp_path / "m.net")
    assert not list(tmp_path.iterdir())


def _foreign(path: Path, change: Callable[[h5py.File], None] = lambda file: None) -> Path:
    """A file as lava-dl writes it: input, conv, flatten, dense; with ``change`` applied."""
    with h5py.File(path, "w") as file:
        for position, kind in enumerate(["input", "conv", "flatten", "dense"]):
            group = file.create_group(f"layer/{position}")
            group.create_dataset("type", (1,), "S10", [kind.encode()])
        file["layer/0/shape"] = np.array([1, 4, 4])
        file["layer/1/shape"] = np.array([2, 3, 3])
        file["layer/1/weight"] = np.full((2, 1, 2, 2, 1), 4, np.float32)
        file["layer/1/bias"] = np.float32([1, -1])
        file["layer/1/groups"] = 1
        file["layer/1/stride"] = 1
        file["layer/2/shape"] = np.array([18])
        file["layer/3/shape"] = np.array([3, 1, 1])
        file["layer/3/weight"] = np.full((3, 18), 6, np.float32)
        for position in (1, 3):
            neuron = file.create_group(f"layer/{position}/neuron")
            neuron["type"] = "LOIHI"
            neuron["iDecay"], neuron["vDecay"], neuron["vThMant"] = 4096, 128, 80
            neuron["wgtExp"], neuron["theta"], neuron["tauRho"] = 0, 5120, 0.1
        change(file)
    return path


def test_foreign_file_is_read_with_defaults(tmp_path: Path) -> None:
    net = read_net(_foreign(tmp_path / "f.net"))
    assert net.names == ("layer0", "layer1")
    assert net.readout is None and net.depth == 2
    conv = net.populations[0]
    assert isinstance(conv, Conv)
    assert (conv.stride, conv.padding, conv.dilation, conv.groups) == ((1, 1), (0, 0), (1, 1), 1)
    assert conv.bias is not None and conv.bias.tolist() == [1, -1]


@pytest.mark.parametrize("threshold", [NEVER_FIRES, 1 << 17, (1 << 18) - 1, None])
def test_a_last_layer_that_cannot_fire_is_read_by_its_membrane(threshold: int | None, tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        del file["layer/3/neuron/vThMant"]
        if threshold is None:
            del file["layer/3/neuron"]
        else:
            file["layer/3/neuron/vThMant"] = threshold

    net = read_net(_foreign(tmp_path / "f.net", change))
    assert net.readout is not None and net.readout.kind == "membrane" and net.readout.scale == 64


def _set(name: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("layer/2/type", np.array([b"average"], "S10")), "layer/2: layer type 'average'"),
        (_set("layer/2/type", np.array([b"pool"], "S10")), "layer type 'pool'"),
        (_set("layer/2/type", np.array([b"afine"], "S10")), "unknown layer type 'afine'.*skips silently"),
        (_set("layer/3/type", np.array([b"dnese"], "S10")), "Did you mean 'dense'"),
        (_set("layer/1/groups", np.array([1])), "'groups' of shape .1,.*scalar"),
        (_set("layer/1/delay", np.ones(2)), "conv with delays, which netx ignores"),
        (_set("layer/1/weigth", 3), "unknown entries in a 'conv' layer: weigth"),
        (_set("layer/1/weight", np.full((2, 1, 2, 2), 0.5)), "'weight' holds values that are no integers"),
        (_set("layer/1/weight", np.full((2, 1, 2, 2), 2.0**40)), "exceeds 32 bits"),
        (_set("layer/1/weight", np.ones((2, 2))), r"weight of shape \(2, 2\)"),
        (_set("layer/3/weight", np.ones((4, 18))), "weight of shape"),
        (_set("layer/1/stride", np.array([0, 1])), r"stride \[0, 1\]"),
        (_set("layer/1/neuron/type", "ALIF"), "neuron type 'ALIF'"),
        (_set("layer/1/neuron/sinDecay", 3), "unknown entries: sinDecay"),
        (_set("layer/1/neuron/gradedSpike", True), "graded output spikes"),
        (_set("layer/3/shape", np.array([0])), r"shape \(0,\)"),
        (_set("layer/3/weight/real", 1.0), "complex weights"),
    ],
)
def test_entries_without_meaning_are_refused_by_name(
    change: Callable[[h5py.File], None], message: str, tmp_path: Path
) -> None:
    with h5py.File(_foreign(tmp_path / "f.net"), "a") as file:
        if message == "complex weights":
            del file["layer/3/weight"]
        change(file)
    with pytest.raises(UnsupportedError, match=message):
        read_net(tmp_path / "f.net")


def test_all_faults_are_reported_together(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        _set("layer/1/groups", np.array([1]))(file)
        _set("layer/3/neuron/type", "SDNN")(file)

    with pytest.raises(UnsupportedError) as caught:
        read_net(_foreign(tmp_path / "f.net", change))
    assert [problem.where for problem in caught.value.problems] == ["layer/1", "layer/3/neuron"]


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no \.net file"):
        read_net(tmp_path / "nothing.net")


@pytest.mark.parametrize("keep", [0, 7, 2000])
def test_truncated_and_foreign_files_are_damaged(keep: int, tmp_path: Path) -> None:
    whole = _foreign(tmp_path / "f.net").read_bytes()
    (tmp_path / "f.net").write_bytes(whole[:keep])
    says = r"is not a readable \.net file" if keep else r"is empty; it is no \.net file"
    with pytest.raises(DataError, match=says):
        read_net(tmp_path / "f.net")


@pytest.mark.parametrize(
    ("link", "message"),
    [
        (h5py.ExternalLink("/etc/passwd", "/"), "is a link to another place"),
        (h5py.SoftLink("/layer/3/weight"), "is a link to another place"),
    ],
)
def test_links_are_not_followed(link: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_net(_foreign(tmp_path / "f.net", _set("layer/1/weight", link)))


def test_data_outside_the_file_are_not_read(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        del file["layer/1/weight"]
        (tmp_path / "raw").write_bytes(bytes(32))
        file["layer/1"].create_dataset(
            "weight", (2, 1, 2, 2), "f4", external=[(str(tmp_path / "raw"), 0, 32)]
        )

    with pytest.raises(DataError, match="takes its content from another file"):
        read_net(_foreign(tmp_path / "f.net", change))


def test_sizes_are_checked_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(file: h5py.File) -> None:
        del file["layer/3/weight"]
        file["layer/3"].create_dataset("weight", (3, 1 << 40), "f4", chunks=(1, 1 << 10))

    path = _foreign(tmp_path / "f.net", change)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="elements"):
        read_net(path)
    monkeypatch.setattr(hdf5, "MAX_ELEMENTS", 53)
    with pytest.raises(DataError, match="'weight' has 54 elements"):
        read_net(_foreign(tmp_path / "g.net"))


def test_more_than_the_file_can_hold_is_not_allocated(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        del file["layer/3/weight"]
        file["layer/3"].create_dataset("weight", (3, 1 << 26), "f4", chunks=(1, 1 << 10))

    with pytest.raises(DataError, match="declares 805306368 bytes, but stores 0"):
        read_net(_foreign(tmp_path / "f.net", change))


def test_values_that_are_not_finite_are_damage(tmp_path: Path) -> None:
    change = _set("layer/1/weight", np.full((2, 1, 2, 2), np.nan))
    with pytest.raises(DataError, match="layer/1/weight: holds values that are not finite"):
        read_net(_foreign(tmp_path / "f.net", change))


def test_a_text_heap_that_hangs_hdf5_is_refused(tmp_path: Path) -> None:
    path = _foreign(tmp_path / "f.net")
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 16 : heap + 32] = bytes(16)
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="text heap with a block of 0 bytes"):
        read_net(path)


def test_any_byte_may_be_wrong(tmp_path: Path) -> None:
    """Every result is a network or an error of ours; never a hang, a crash or another exception."""
    whole = _foreign(tmp_path / "f.net").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for position in rng.choice(len(whole), 200, replace=False):
        content = bytearray(whole)
        content[position] ^= 1 << int(rng.integers(8))
        (tmp_path / "g.net").write_bytes(bytes(content))
        try:
            read_net(tmp_path / "g.net")
        except (DataError, UnsupportedError):
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.__delitem__("layer"), "has no 'layer'"),
        (lambda f: f.__delitem__("layer/3/neuron/vDecay"), "has no 'vDecay'"),
        (lambda f: f.__delitem__("layer/1"), "layer: misses 1"),
        (_set("layer/3/weight", "text"), "holds object instead of numbers"),
        (lambda f: (f.__delitem__("layer"), f.create_group("layer"), None)[2], "holds no layers"),
    ],
)
def test_damaged_structure(change: Callable[[h5py.File], None], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_net(_foreign(tmp_path / "f.net", change))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 99},
        {"names": ["one"]},
        {"names": [1, 2]},
        {"input_scale": 0},
        {"readout": {"kind": "guess", "scale": 1}},
        {"surprise": 1},
        {"input_range": [0]},
        {"spans": [[["a", 0, 1]], []]},
        {"spans": [[["a", 0, 1], ["a", 1, 1]], []]},
        {"spans": [[]]},
    ],
)
def test_damaged_remarks_of_ours_are_an_error(change: dict[str, object], tmp_path: Path) -> None:
    write_net(read_net(_foreign(tmp_path / "f.net")), tmp_path / "m.net")
    with h5py.File(tmp_path / "m.net", "a") as file:
        remarks = json.dumps(json.loads(file["snn_deploy"][()].tobytes()) | change)
        del file["snn_deploy"]
        file["snn_deploy"] = np.frombuffer(remarks.encode(), np.uint8)
    with pytest.raises(DataError, match="snn_deploy: cannot be read"):
        read_net(tmp_path / "m.net")


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        (np.float32([1, 2, 0]), [[1] * 18, [2] * 18, [0] * 18]),
        (np.arange(18), [list(range(18))] * 3),
        (np.int64(5), [[5] * 18] * 3),
    ],
)
def test_delays_are_spread_as_netx_does(delay: object, expected: list[list[int]], tmp_path: Path) -> None:
    net = read_net(_foreign(tmp_path / "f.net", _set("layer/3/delay", delay)))
    dense = net.populations[1]
    assert isinstance(dense, Dense) and dense.delay is not None
    assert dense.delay.tolist() == expected
