"""A ``model.c`` as a backend: compiled by this machine's compiler, run in a process of its own.

Only C code that this version writes of the ``model.net`` beside it is compiled: a bundle from somewhere else
is data, not a program to run unasked.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.core.errors import DataError
from snn_deploy.core.registry import BACKENDS
from snn_deploy.export.c.compiler import TEMPORARY, CError, build_for, run_to_its_end
from snn_deploy.export.c.parts import Program
from snn_deploy.export.c.program import program
from snn_deploy.export.c.source import header, source
from snn_deploy.export.c.written import read_sources, require_as_written
from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.lava.net import LavaNet
from snn_deploy.graph.lava.spans import join, spiking_layers, split
from snn_deploy.graph.types import Trace, given_spikes
from snn_deploy.simulate.loihi import input_units

NET, HEADER, SOURCE = "model.net", "model.h", "model.c"
PROBE = Path(__file__).parent / "probe.c"
CHUNK_BYTES = 1 << 26
_LOOP = re.compile(r"^#define MODEL_(\w+)_EVENTS ([01])$", re.MULTILINE)

Bytes = npt.NDArray[np.uint8]


class CProgram:
    """The C program of a network; implements :class:`snn_deploy.simulate.base.Executable`.

    Args:
        path: the ``model.net`` that it was written from, with ``model.h`` and ``model.c`` beside it.
        extra: further compiler flags.

    Raises:
        DataError: a file is missing or damaged.
        UnsupportedError: the C code is not what this version writes of ``model.net``.
        MissingOptionalError: there is no compiler.
        CError: it does not compile.
    """

    def __init__(self, path: Path, *, extra: tuple[str, ...] = ()) -> None:
        folder = path.parent
        self.net = read_net(path)
        self._program = as_written(folder, self.net)
        hook = "-DMODEL_HOOK=probe_hook"
        self._probe = build_for(self, [PROBE, folder / SOURCE], folder, (hook, *extra))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the spiking populations, in order."""
        return spiking_layers(self.net)

    def run(
        self, x: torch.Tensor, *, record: bool = False, forced: Mapping[str, torch.Tensor] | None = None
    ) -> Trace:
        """Run ``x [T, B, *shape]``; see :class:`snn_deploy.simulate.base.Executable`.

        Raises:
            ConfigError: ``forced`` names an unknown layer.
            DataError: x has another shape, is not on the network's grid of integers or outside the range
                that it was written for, or the readout leaves its 24 bits.
            CError: the program does not run to its end.
        """
        given = given_spikes(forced, self.layers)
        units = in_range(self.net, input_units(self.net, x))
        steps, batch = units.shape[:2]
        per_sample = steps * (4 * self._program.inputs + 3 * self._neurons)
        size = max(1, CHUNK_BYTES // per_sample)
        parts = [
            self._chunk(units[:, i : i + size], {n: s[:, i : i + size] for n, s in given.items()})
            for i in range(0, batch, size)
        ]
        output = torch.from_numpy(np.concatenate([part[0] for part in parts]).swapaxes(0, 1).copy())
        every = torch.from_numpy(np.concatenate([part[1] for part in parts]).swapaxes(0, 1).copy())
        last = self._program.layers[-1]
        spikes = self._populations(every)
        decoded = self._decoded(output).view(steps, batch, *last.shape)
        if given and self.net.readout is None:
            decoded = spikes[
                last.title
            ]  # its own: the program's output would be what was given in their place
        records = split(self.net, spikes) if record else {}
        return Trace(decoded, {name: records[name] for name in self.layers if record})

    @property
    def _neurons(self) -> int:
        return sum(layer.count for layer in self._program.layers)

    def _chunk(
        self, units: torch.Tensor, given: Mapping[str, torch.Tensor]
    ) -> tuple[npt.NDArray[np.int32], Bytes]:
        """Outputs ``[B, T, K]`` and all spikes ``[B, T, neurons]`` in the program's order."""
        steps, batch = units.shape[:2]
        outputs, neurons = self._program.layers[-1].count, self._neurons
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            frames = units.flatten(2).swapaxes(0, 1).numpy().astype(np.int32)
            frames.tofile(folder / "frames")
            forced = "-"
            if given:
                forced = str(folder / "forced")
                self._forced(given, steps, batch, Path(forced))
            files = (str(folder / "frames"), forced, str(folder / "out"))
            run_to_its_end(self._probe, *files, str(batch), str(steps))
            row = np.dtype([("output", "<i4", outputs), ("spikes", "u1", neurons), ("left", "u1")])
            found = np.fromfile(folder / "out", row)
        if found.size != batch * steps:
            raise CError(f"The C program returned {found.size} steps; due were {batch * steps}.")
        if found["left"].any():
            sample, step = divmod(int(found["left"].argmax()), steps)
            raise DataError(
                f"The readout '{self.net.names[-1]}' saturates at step {step} of sample {sample}.",
                hint="Export again with calibration samples and a number of timesteps like these.",
            )
        shape = (batch, steps, -1)
        return found["output"].reshape(shape), found["spikes"].reshape(shape)

    def _forced(self, given: Mapping[str, torch.Tensor], steps: int, batch: int, file: Path) -> None:
        masks, values = [], []
        ones = {name: torch.ones_like(spikes[:1, :1]) for name, spikes in given.items()}
        for layer in self._program.layers:
            nothing = torch.zeros(steps, batch, *layer.shape)
            masks.append(_to_program(join(self.net, layer.title, nothing[:1, :1], ones)))
            values.append(_to_program(join(self.net, layer.title, nothing, given)))
        with file.open("wb") as stream:
            np.concatenate(masks, 2).astype(np.uint8).tofile(stream)
            np.concatenate(values, 2).astype(np.uint8).tofile(stream)

    def _populations(self, every: torch.Tensor) -> dict[str, torch.Tensor]:
        """Spikes of each population ``[T, B, *shape]`` from those of all in the program's order."""
        found, first = {}, 0
        for layer in self._program.layers:
            own = every[:, :, first : first + layer.count].float()
            first += layer.count
            if len(layer.shape) == 3:
                channels, height, width = layer.shape
                own = own.view(*own.shape[:2], height, width, channels).movedim(-1, 2)
            found[layer.title] = own
        return found

    def _decoded(self, output: torch.Tensor) -> torch.Tensor:
        readout = self.net.readout
        return output.float() if readout is None else (output.double() / readout.scale).float()


def _to_program(spikes: torch.Tensor) -> Bytes:
    """``[T, B, *shape] -> [B, T, neurons]`` in the program's order."""
    ordered = spikes.movedim(2, -1) if spikes.ndim == 5 else spikes
    flat: Bytes = ordered.flatten(2).swapaxes(0, 1).contiguous().numpy()
    return flat


def in_range(net: LavaNet, units: torch.Tensor) -> torch.Tensor:
    """``units``, after checking that the C program of ``net`` was written for them.

    Raises:
        DataError: they leave the range of its input.
    """
    low, high = net.input_range
    if net.input_bits and not net.analog:
        smallest, largest = (int(value) for value in torch.aminmax(units))
        if smallest < min(low, 0) or largest > max(high, 0):
            raise DataError(
                f"The input holds integers from {smallest} to {largest}; the C program was written for "
                f"{low} to {high}.",
                hint="Export again with samples of this range.",
            )
    return units


def as_written(folder: Path, net: LavaNet) -> Program:
    """The program that the files of ``folder`` hold, after checking that they hold nothing else."""
    texts = read_sources(folder, (HEADER, SOURCE))
    loops = {name.lower(): value == "1" for name, value in _LOOP.findall(texts[HEADER])}
    made = program(net, loops=loops)
    due = {HEADER: header(made), SOURCE: source(made)}
    require_as_written(folder, texts, due, network=NET, kit="run_c.sh")
    return made


@BACKENDS.register("c")
def open_c(path: Path) -> CProgram:
    """The bundle's model.c, compiled by this machine's C compiler."""
    return CProgram(path)
