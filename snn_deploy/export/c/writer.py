"""The format ``c``: C99 source for any processor, computing what the ``.net`` file beside it says.

The integer network is the one that the format ``lava`` writes: C, our fixed-point simulator and Lava agree to
the last bit. ``model.net`` travels along as what the C code was written from, and is proven against.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import torch

from snn_deploy.core.errors import Problem
from snn_deploy.core.files import write_bytes, write_text
from snn_deploy.core.registry import FORMATS
from snn_deploy.export.base import Calibration, Check, Written
from snn_deploy.export.c.parts import Program
from snn_deploy.export.c.program import program
from snn_deploy.export.c.runtime import HEADER, NET, SOURCE
from snn_deploy.export.c.source import header, source
from snn_deploy.export.lava import LavaWriter
from snn_deploy.export.options import COptions
from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.lava.net import LavaNet
from snn_deploy.graph.lava.spans import join
from snn_deploy.simulate.loihi import Loihi, input_units

EXAMPLE = "example.bin"
EXAMPLE_SAMPLES = 2
RATE_SAMPLES = 16


class CWriter:
    """Writes ``model.h``, ``model.c``, the ``model.net`` they were written from, and ``example.bin``."""

    def __init__(self, options: COptions) -> None:
        self._integer = LavaWriter(options)

    def check(self, graph: nir.NIRGraph) -> list[Problem]:
        """Everything that the integer network cannot say, by node."""
        return self._integer.check(graph)

    def write(self, graph: nir.NIRGraph, folder: Path, calibration: Calibration) -> Written:
        """Lower and quantise ``graph`` as for ``lava``, then write it as C.

        Raises:
            UnsupportedError: with all problems of :meth:`check`, or sums that need more than 32 bits.
        """
        with tempfile.TemporaryDirectory() as name:
            written = self._integer.write(graph, Path(name), calibration)
            shutil.copyfile(Path(name) / written.files["net"], folder / NET)
        net = read_net(folder / NET)
        x = calibration.x[:, :RATE_SAMPLES].float()
        made = program(net, rates=_rates(net, x))
        write_text(folder / HEADER, header(made))
        write_text(folder / SOURCE, source(made))
        write_bytes(folder / EXAMPLE, example(made, x[:, :EXAMPLE_SAMPLES]))
        return replace(
            written,
            files={"net": NET, "source": SOURCE, "header": HEADER, "example": EXAMPLE},
            checks=(
                *(check for check in written.checks if check.backend == "loihi"),
                Check("net", "c", reference="loihi"),
            ),
            tables={**written.tables, "c": _table(made)},
        )


def _rates(net: LavaNet, x: torch.Tensor) -> dict[str, float]:
    """Share of the sources of each population that are not zero in a step."""
    records = Loihi(net).run(x, record=True).records
    seen, rates = input_units(net, x), {}
    for name, layer in zip(net.names, net.populations, strict=True):
        rates[name] = float((seen != 0).float().mean())
        seen = join(net, name, torch.zeros(*x.shape[:2], *layer.shape), records)
    return rates


def example(made: Program, x: torch.Tensor) -> bytes:
    """Frames and the outputs due for them, as the kit's ``main.c`` reads them, of ``x [T, B, *shape]``.

    Four int32: samples, steps, inputs, outputs. Then, per sample and step, the input in the program's input
    type and the output in int32; all in this machine's byte order.
    """
    net = made.net
    ours = Loihi(net)
    units = input_units(net, x).flatten(2)
    if net.readout is None:
        due = ours.run(x).output.flatten(2)
    else:
        v = ours.probe(x)[net.names[-1]].v
        assert v is not None
        due = torch.diff(v, dim=0, prepend=torch.zeros_like(v[:1])) if net.readout.kind == "current" else v
    steps, samples = units.shape[:2]
    kind = np.uint8 if made.binary else np.int32
    parts = [np.array([samples, steps, units.shape[2], due.shape[2]], np.int32).tobytes()]
    for sample in range(samples):
        for step in range(steps):
            parts.append(units[step, sample].numpy().astype(kind).tobytes())
            parts.append(due[step, sample].numpy().astype(np.int32).tobytes())
    return b"".join(parts)


def _table(made: Program) -> list[dict[str, object]]:
    """A row per layer: its loop and what it takes of constant memory and of state."""
    return [
        {
            "layer": layer.title,
            "loop": "spikes" if layer.events else "all synapses",
            "constant_bytes": layer.constant_bytes,
            "state_bytes": layer.state_bytes,
            "sum": layer.sum_type,
        }
        for layer in made.layers
    ]


@FORMATS.register("c")
def writer(options: COptions) -> CWriter:
    """The writer of the format ``c``."""
    return CWriter(options)
