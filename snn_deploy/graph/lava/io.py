"""Read and write lava-dl's ``.net`` (HDF5) files.

A file is untrusted (:mod:`snn_deploy.graph.readers.untrusted`), and every entry that is unknown, or that netx
would ignore or refuse, is named. What the format cannot say (layer names, input scale, readout, populations
that share a layer) is kept as JSON in the dataset ``snn_deploy`` of bytes; netx does not look at it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.core.files import atomic_path
from snn_deploy.graph.lava.layers import read_layer
from snn_deploy.graph.lava.net import (
    NEVER_FIRES,
    Conv,
    Cuba,
    Dense,
    Flatten,
    Input,
    LavaNet,
    Layer,
    Readout,
    Span,
    neuron_of,
)
from snn_deploy.graph.lava.rules import simulation_problems
from snn_deploy.graph.readers.hdf5 import FormatFaultError, NetFile
from snn_deploy.graph.readers.untrusted import DamageError, open_untrusted

REMARKS = "snn_deploy"
VERSION = 1
MAX_REMARKS = 1 << 20


def read_net(path: Path) -> LavaNet:
    """Read a network.

    Raises:
        DataError: no such file, not HDF5, damaged, or too large.
        UnsupportedError: with every entry that has no meaning here, by name.
    """
    with open_untrusted(path, ".net") as (content, access):
        return _read(content, NetFile(access), path.name)


def _read(content: h5py.File, file: NetFile, origin: str) -> LavaNet:
    group = file.group(content, "layer", "layer")
    count = len(group)
    if not count:
        raise DamageError("layer", "holds no layers")
    if missing := [str(i) for i in range(count) if str(i) not in group]:
        rule = f"layers are numbered 0..{count - 1}"
        raise DamageError("layer", f"misses {', '.join(missing[:8])}", rule)
    layers: list[Layer] = []
    problems: list[Problem] = []
    for position in range(count):
        try:
            layers.append(read_layer(file, group, position))
        except FormatFaultError as fault:
            problems.append(fault.problem)
    if problems:
        raise UnsupportedError(
            f"{len(problems)} part{'s' if len(problems) > 1 else ''} of '{origin}' cannot be read.",
            problems=problems,
        )
    return _annotated(file.bytes(content, REMARKS, MAX_REMARKS), tuple(layers))


def _annotated(raw: bytes | None, layers: tuple[Layer, ...]) -> LavaNet:
    populations = LavaNet(layers, ()).populations
    if raw is None:
        names = tuple(f"layer{i}" for i in range(len(populations)))
        silent = populations and int(neuron_of(populations[-1]).threshold.min()) >= NEVER_FIRES
        return LavaNet(layers, names, readout=Readout("membrane", 64.0) if silent else None)
    try:
        content = json.loads(raw)
        if content.pop("version") != VERSION:
            raise ValueError(f"this release reads version {VERSION}")
        readout = content.pop("readout")
        low, high = content.pop("input_range")
        names, classes = tuple(content.pop("names")), tuple(content.pop("classes"))
        spans = tuple(tuple(Span(*span) for span in layer) for layer in content.pop("spans"))
        net = LavaNet(
            layers,
            names=names,
            classes=classes,
            spans=spans,
            input_range=(int(low), int(high)),
            readout=None if readout is None else Readout(readout["kind"], float(readout["scale"])),
            **content,
        )
        if len(names) != len(populations) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{len(names)} layer names for {len(populations)} layers")
        _check_spans(net)
        if not (0 < float(net.input_scale) < np.inf):
            raise ValueError(f"input_scale is {net.input_scale}")
        if net.readout is not None and net.readout.kind not in {"current", "membrane"}:
            raise ValueError(f"readout '{net.readout.kind}'")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamageError(REMARKS, f"cannot be read: {error}") from None
    return net


def _check_spans(net: LavaNet) -> None:
    """Spans cover their layer in order, and no name occurs twice.

    Raises:
        ValueError: they do not.
    """
    if net.spans and len(net.spans) != len(net.populations):
        raise ValueError(f"spans of {len(net.spans)} of {len(net.populations)} layers")
    for layer, spans in zip(net.populations, net.spans, strict=False):
        ends = [0, *(span.first + span.count for span in spans)]
        if spans and ([span.first for span in spans] != ends[:-1] or ends[-1] != layer.shape[0]):
            raise ValueError(f"spans that do not cover the {layer.shape[0]} channels of a layer")
    found = [span.name for spans in net.spans for span in spans]
    if len(set(found)) < len(found) or not all(isinstance(name, str) for name in found):
        raise ValueError("spans without a name of their own")


def write_net(net: LavaNet, path: Path) -> None:
    """Write ``net`` atomically as a fresh file (Lava never closes the file it has opened).

    Raises:
        UnsupportedError: Lava would not compute the network as stored.
    """
    if problems := simulation_problems(net):
        raise UnsupportedError("Lava would not compute this network as stored.", problems=problems)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for position, layer in enumerate(net.layers):
            _write_layer(file.create_group(f"layer/{position}"), layer)
        file["simulation/Ts"] = 1
        file["simulation/tSample"] = net.timesteps or 1
        remarks = json.dumps(_annotations(net), sort_keys=True).encode()
        file[REMARKS] = np.frombuffer(remarks, np.uint8)


def _annotations(net: LavaNet) -> dict[str, Any]:
    fields = ("names", "input_name", "input_range", "input_scale", "timesteps", "decode", "classes")
    content = {name: getattr(net, name) for name in fields}
    readout = None if net.readout is None else asdict(net.readout)
    spans = [[[span.name, span.first, span.count] for span in layer] for layer in net.spans]
    return {"version": VERSION, **content, "readout": readout, "spans": spans}


def _write_layer(group: h5py.Group, layer: Layer) -> None:
    kind = type(layer).__name__.lower()
    if isinstance(layer, Dense) and layer.recurrent is not None:
        kind = "dense_rec"
    group.create_dataset("type", (1,), "S10", [kind.encode()])
    group["shape"] = np.array(layer.shape, np.int64)
    if isinstance(layer, Flatten):
        return
    if isinstance(layer, Input):
        if layer.neuron is not None:
            group["weight"] = np.array([layer.weight], np.float32)
            group["bias"] = np.array([layer.bias], np.float32)
    else:
        group["weight"] = layer.weight.astype(np.float32)
        if layer.bias is not None:
            group["bias"] = layer.bias.astype(np.float32)
    if isinstance(layer, Conv):
        group["inChannels"] = layer.weight.shape[1] * layer.groups
        group["outChannels"] = layer.weight.shape[0]
        group["kernelSize"] = np.array(layer.weight.shape[2:], np.int64)
        for name in ("stride", "padding", "dilation"):
            group[name] = np.array(getattr(layer, name), np.int64)
        group["groups"] = layer.groups
    elif isinstance(layer, Dense):
        group["outFeatures"], group["inFeatures"] = layer.weight.shape
        if layer.recurrent is not None:
            group["weight_rec"] = layer.recurrent.astype(np.float32)
        if layer.delay is not None:
            group["delay"] = layer.delay
    if layer.neuron is not None:
        _write_neuron(group.create_group("neuron"), layer.neuron)


def _write_neuron(group: h5py.Group, neuron: Cuba) -> None:
    group["type"] = "CUBA"
    group["iDecay"] = neuron.current_decay
    group["vDecay"] = neuron.voltage_decay
    group["vThMant"] = neuron.threshold
    group["refDelay"] = 1
    group["gradedSpike"] = False
