"""A compiled ``model.c`` that is stepped over pipes; see :class:`snn_deploy.simulate.stepping.Stepper`."""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.core.errors import DataError
from snn_deploy.export.c.compiler import CError, build_for
from snn_deploy.export.c.runtime import SOURCE, as_written, in_range
from snn_deploy.graph.lava.io import read_net
from snn_deploy.simulate.loihi import input_units
from snn_deploy.simulate.stepping import Frame, Saved

STREAM = Path(__file__).parent / "stream.c"
_MODEL = "model_t"


class CStepper:
    """The C program beside ``path``, a ``model.net``, one step at a time in a process of its own.

    Raises:
        DataError, UnsupportedError, MissingOptionalError, CError: as
            :class:`~snn_deploy.export.c.runtime.CProgram`.
    """

    def __init__(self, path: Path) -> None:
        self._net = read_net(path)
        self._program = as_written(path.parent, self._net)
        program = build_for(self, [STREAM, path.parent / SOURCE], path.parent)
        self._process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        weakref.finalize(self, _end, self._process)
        self._kind = np.dtype(np.uint8 if self._program.binary else np.int32)

    def step(self, frame: Frame) -> Frame:
        units = in_range(self._net, input_units(self._net, torch.from_numpy(frame)[None, None]))
        last = self._program.layers[-1]
        content = b"S" + units.numpy().astype(self._kind).tobytes()
        answer = self._ask(content, 4 * last.count + 1)
        if answer[-1]:
            raise DataError(f"The readout '{self._net.names[-1]}' saturates.")
        output = np.frombuffer(answer[:-1], np.int32).reshape(last.shape)
        scale = 1.0 if self._net.readout is None else self._net.readout.scale
        return (output / scale).astype(np.float32)

    def seconds(self) -> float:
        """How long the last step took in the program itself, without the pipes."""
        return int.from_bytes(self._ask(b"T", 8), sys.byteorder) * 1e-9

    def reset(self) -> None:
        self._ask(b"R", 0)

    def state(self) -> Saved:
        size = int.from_bytes(self._ask(b"D", 4), sys.byteorder)
        return {_MODEL: np.frombuffer(self._ask(b"", size), np.uint8).copy()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        given = state.get(_MODEL)
        if given is None or given.dtype != np.uint8 or given.shape != self.state()[_MODEL].shape:
            raise DataError("The saved state is not of this C program.")
        if self._ask(b"L" + given.tobytes(), 1) != b"\0":
            raise DataError("The saved state is damaged.")

    def _ask(self, question: bytes, answer: int) -> bytes:
        """Send ``question`` and read ``answer`` bytes.

        Raises:
            CError: the program has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(question)
            self._process.stdin.flush()
            found = self._process.stdout.read(answer)
        except OSError:
            found = b""
        if len(found) != answer:
            raise CError(f"The C program ended (exit status {self._process.poll()}).")
        return found


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
