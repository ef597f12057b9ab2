"""The layers of a ``.net`` file: every entry has a meaning here or is refused by name."""

from __future__ import annotations

import h5py
import numpy as np

from snn_deploy.core.errors import did_you_mean
from snn_deploy.graph.lava.net import Conv, Cuba, Dense, Flatten, Input, IntArray, Layer
from snn_deploy.graph.lava.rules import LAVA
from snn_deploy.graph.readers.hdf5 import MAX_ELEMENTS, FormatFaultError, NetFile

_GEOMETRY = {"shape", "type", "inFeatures", "outFeatures", "inChannels", "outChannels"}
_KNOWN = {
    "input": {"weight", "bias", "neuron"},
    "flatten": set(),
    "conv": {"kernelSize", "stride", "padding", "dilation", "groups", "weight", "bias", "neuron", "delay"},
    "dense": {"weight", "bias", "neuron", "delay"},
    "dense_rec": {"weight", "weight_rec", "bias", "neuron", "delay"},
}
_UNSUPPORTED = {
    "average": "netx does not implement it; a final 'average' is left out of the file",
    "pool": "netx does not implement it; merge the pooling into the next layer",
    "convT": "netx does not implement it",
    "unpool": "netx does not implement it",
    "concat": "netx does not implement it",
    "dense_comp": "complex weights are not supported",
}
_NEURON_USED = {"type", "iDecay", "vDecay", "vThMant"}
_NEURON_IGNORED = {"refDelay", "gradedSpike", "wgtExp", "theta", "tauRho", "scaleRho"}


def _fault(where: str, what: str, rule: str = "", try_instead: str = "") -> FormatFaultError:
    return FormatFaultError(where, what, rule, LAVA if rule else "", try_instead)


def read_layer(file: NetFile, group: h5py.Group, position: int) -> Layer:
    """Layer ``position`` of the group ``layer``.

    Raises:
        DamageError: damaged.
        FormatFaultError: an entry that is unknown, or that netx ignores or refuses.
    """
    where = f"layer/{position}"
    entry = file.group(group, str(position), where)
    kind = file.text(entry, "type", where)
    if kind in _UNSUPPORTED:
        raise _fault(where, f"layer type '{kind}'", _UNSUPPORTED[kind])
    if kind not in _KNOWN:
        hint = did_you_mean(kind, _KNOWN)
        raise _fault(where, f"unknown layer type '{kind}', which netx skips silently.{hint}")
    known = _KNOWN[kind] | _GEOMETRY
    if unknown := sorted(set(entry) - known):
        raise _fault(where, f"unknown entries in a '{kind}' layer: {', '.join(unknown)}")
    if kind == "input":
        return _read_input(file, entry, where)
    if kind == "flatten":
        return Flatten(_shape(file, entry, where))
    return _read_conv(file, entry, where) if kind == "conv" else _read_dense(file, entry, where)


def _read_input(file: NetFile, entry: h5py.Group, where: str) -> Input:
    shape = _shape(file, entry, where)
    if "neuron" not in entry:
        return Input(shape)
    numbers = {
        name: int(file.integers(entry, name, where).reshape(-1)[0])
        for name in ("weight", "bias")
        if name in entry
    }
    return Input(shape, _neuron(file, entry, where), numbers.get("weight", 64), numbers.get("bias", 0))


def _read_conv(file: NetFile, entry: h5py.Group, where: str) -> Conv:
    weight = file.integers(entry, "weight", where)
    if weight.ndim == 5 and weight.shape[4] == 1:
        weight = weight[..., 0]
    if weight.ndim != 4:
        raise _fault(where, f"weight of shape {weight.shape}", "(out, in / groups, kH, kW)")
    groups = file.integers(entry, "groups", where) if "groups" in entry else np.ones((), np.int64)
    if groups.ndim:
        raise _fault(where, f"'groups' of shape {groups.shape}", "a scalar dataset", "store groups as ()")
    if "delay" in entry and file.integers(entry, "delay", where).any():
        raise _fault(where, "a conv with delays, which netx ignores silently", "no 'delay' in a conv")
    if "neuron" not in entry:
        raise _fault(where, "a conv without neurons", "netx needs 'neuron' in a conv")
    return Conv(
        shape=_shape(file, entry, where),
        weight=weight,
        neuron=_neuron(file, entry, where),
        bias=file.integers(entry, "bias", where).reshape(-1) if "bias" in entry else None,
        stride=_pair(file, entry, "stride", where, 1),
        padding=_pair(file, entry, "padding", where, 0),
        dilation=_pair(file, entry, "dilation", where, 1),
        groups=int(groups),
    )


def _read_dense(file: NetFile, entry: h5py.Group, where: str) -> Dense:
    if entry.get("weight", getclass=True) is h5py.Group:
        raise _fault(where, "complex weights", "real weights only")
    size = int(np.prod(_shape(file, entry, where)))
    weight = _matrix(file, entry, "weight", where, size)
    bias = file.integers(entry, "bias", where).reshape(-1) if "bias" in entry else None
    if bias is not None and bias.shape == (1,) and size > 1:
        bias = np.repeat(bias, size)
    return Dense(
        weight=weight,
        neuron=_neuron(file, entry, where) if "neuron" in entry else None,
        bias=bias,
        recurrent=_matrix(file, entry, "weight_rec", where, size) if "weight_rec" in entry else None,
        delay=_delay(file, entry, where, weight) if "delay" in entry else None,
    )


def _delay(file: NetFile, entry: h5py.Group, where: str, weight: IntArray) -> IntArray:
    """Delays per synapse from one number, one per output, or one per input, as netx reads them."""
    delay = file.integers(entry, "delay", where)
    outputs, inputs = weight.shape
    if delay.shape == (outputs,) and outputs > 1:
        delay = delay[:, None]
    if delay.shape not in {(), (1,), (outputs, 1), (inputs,), (outputs, inputs)}:
        raise _fault(where, f"delay of shape {delay.shape}", f"one, {outputs}, or {inputs} values")
    return np.broadcast_to(delay, weight.shape).copy()


def _neuron(file: NetFile, entry: h5py.Group, where: str) -> Cuba:
    group = file.group(entry, "neuron", where)
    kind = file.text(group, "type", f"{where}/neuron")
    if kind not in {"CUBA", "LOIHI"}:
        raise _fault(f"{where}/neuron", f"neuron type '{kind}'", "CUBA (or its older name LOIHI)")
    if unknown := sorted(set(group) - _NEURON_USED - _NEURON_IGNORED):
        raise _fault(f"{where}/neuron", f"unknown entries: {', '.join(unknown)}")
    if "gradedSpike" in group and file.integers(group, "gradedSpike", where).any():
        raise _fault(f"{where}/neuron", "graded output spikes", "binary spikes between layers")
    values = [file.integers(group, name, f"{where}/neuron") for name in ("iDecay", "vDecay", "vThMant")]
    return Cuba(*(v.reshape(()) if v.shape == (1,) else v for v in values))


def _shape(file: NetFile, entry: h5py.Group, where: str) -> tuple[int, ...]:
    shape = tuple(int(n) for n in file.integers(entry, "shape", where).reshape(-1))
    if not 1 <= len(shape) <= 3 or min(shape) < 1 or int(np.prod(shape, dtype=object)) > MAX_ELEMENTS:
        raise _fault(where, f"shape {shape}", "1 to 3 positive sizes")
    return shape


def _matrix(file: NetFile, entry: h5py.Group, name: str, where: str, rows: int) -> IntArray:
    weight = file.integers(entry, name, where)
    if weight.ndim == 1 and weight.size % rows == 0:
        weight = weight.reshape(rows, -1)
    if weight.ndim != 2 or weight.shape[0] != rows:
        raise _fault(where, f"{name} of shape {weight.shape} in a layer of {rows} neurons", "(out, in)")
    return weight


def _pair(file: NetFile, entry: h5py.Group, name: str, where: str, default: int) -> tuple[int, int]:
    values = file.integers(entry, name, where).reshape(-1) if name in entry else np.array([default])
    if values.size not in {1, 2} or values.min() < (0 if name == "padding" else 1):
        raise _fault(where, f"{name} {values.tolist()[:4]}", "one or two sizes")
    return int(values[0]), int(values[-1])
