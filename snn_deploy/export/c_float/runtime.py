"""A ``model_float.c`` as a backend: compiled by this machine's compiler, run in a process of its own.

Only C code that this version writes of the ``model_float.nir`` beside it is compiled: a bundle from somewhere
else is data, not a program to run unasked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.core.errors import DataError
from snn_deploy.core.registry import BACKENDS
from snn_deploy.export.c.compiler import TEMPORARY, CError, build_for, run_to_its_end
from snn_deploy.export.c.written import read_sources, require_as_written
from snn_deploy.export.c_float.parts import FloatProgram, Shape, inside
from snn_deploy.export.c_float.program import program
from snn_deploy.export.c_float.source import header, source
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.types import SPIKING_NODES, Plan, Trace, given_spikes
from snn_deploy.simulate.base import as_frames

GRAPH, HEADER, SOURCE = "model_float.nir", "model_float.h", "model_float.c"
PROBE = Path(__file__).parent / "probe_float.c"
CHUNK_BYTES = 1 << 27
RECORDED, GIVEN = 1, 2
_checked = partial(as_frames, who="the program")

Floats = npt.NDArray[np.float32]


class FloatCProgram:
    """The float32 C program of a graph; implements :class:`snn_deploy.simulate.base.Executable`.

    Args:
        path: the ``model_float.nir`` that it was written from, with ``model_float.h`` and ``model_float.c``
            beside it.
        extra: further compiler flags.

    Raises:
        DataError: a file is missing or damaged.
        UnsupportedError: the C code is not what this version writes of ``model_float.nir``.
        MissingOptionalError: there is no compiler.
        CError: it does not compile.
    """

    def __init__(self, path: Path, *, extra: tuple[str, ...] = ()) -> None:
        self._plan = make_plan(read_nir(path))
        self._program = as_written(path.parent, self._plan)
        hook = "-DMODEL_FLOAT_HOOK=probe_hook"
        self._probe = build_for(self, [PROBE, path.parent / SOURCE], path.parent, (hook, *extra))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the spiking layers, in order."""
        return self._plan.of_type(*SPIKING_NODES)

    def run(
        self, x: torch.Tensor, *, record: bool = False, forced: Mapping[str, torch.Tensor] | None = None
    ) -> Trace:
        """Run ``x [T, B, *shape]``; see :class:`snn_deploy.simulate.base.Executable`.

        Raises:
            ConfigError: ``forced`` names an unknown layer.
            DataError: shapes do not fit.
            CError: the program does not run to its end.
        """
        given = given_spikes(forced, self.layers)
        return self._run(x, self.layers if record else (), given)

    def run_nodes(
        self,
        x: torch.Tensor,
        forced: Mapping[str, torch.Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        output: str,
    ) -> dict[str, torch.Tensor]:
        """Own outputs of the nodes of ``shapes``, those behind a node in ``forced`` fed with its value; the
        network's output goes by the name ``output``.

        Raises:
            DataError: the graph has no such nodes, or of other shapes.
        """
        wanted = [name for name in shapes if name != output]
        if missing := [n for n in (*wanted, *forced) if n not in self._plan.shapes]:
            raise DataError(f"The graph has no nodes {', '.join(missing)}.")
        plan = self._plan
        ends = [plan.output if name == output else name for name in shapes]
        read = {s for name in ends for s in (*plan.sources[name], *plan.feedback.get(name, ()))}
        trace = self._run(x, wanted, {name: forced[name] for name in forced if name in read})
        return {name: trace.output if name == output else trace.records[name] for name in shapes}

    def constants(self, names: Sequence[str]) -> Iterator[tuple[str, list[Floats]]]:
        """None: the C code's arrays are in an order of its own."""
        return ((name, []) for name in names)

    def _run(self, x: torch.Tensor, record: Collection[str], given: Mapping[str, torch.Tensor]) -> Trace:
        plan = self._plan
        frames = _checked("the input", x, plan.shapes[plan.input])
        steps, batch = x.shape[:2]
        nodes = [node.title for node in self._program.nodes[:-1]]
        roles = np.array([RECORDED * (n in record) + GIVEN * (n in given) for n in nodes], np.uint8)
        fixed = {
            name: inside(_checked(f"forced '{name}'", given[name], plan.shapes[name], steps, batch), lead=2)
            for name in nodes
            if name in given
        }
        recorded = [name for name in nodes if name in record]
        size = max(1, CHUNK_BYTES // (4 * steps * self._values(recorded, fixed)))
        parts = [
            self._chunk(
                frames[:, i : i + size], roles, [y[:, i : i + size] for y in fixed.values()], recorded
            )
            for i in range(0, batch, size)
        ]
        whole = np.concatenate(parts).swapaxes(0, 1)
        first, records = self._program.outputs, {}
        for name in recorded:
            shape = plan.shapes[name]
            count = int(np.prod(shape))
            records[name] = _outside(whole[..., first : first + count], shape)
            first += count
        output = torch.from_numpy(whole[..., : self._program.outputs].copy())
        return Trace(output.view(steps, batch, *plan.shapes[plan.output]), records)

    def _values(self, recorded: Collection[str], given: Mapping[str, Floats]) -> int:
        """Numbers that a sample exchanges in a step."""
        count = {node.title: node.count for node in self._program.nodes}
        return self._program.inputs + self._program.outputs + sum(count[n] for n in (*recorded, *given))

    def _chunk(
        self, frames: Floats, roles: npt.NDArray[np.uint8], given: list[Floats], recorded: list[str]
    ) -> Floats:
        """Outputs and the values of the recorded nodes, ``[B, T, elements]``."""
        steps, batch = frames.shape[:2]
        row = self._values(recorded, {}) - self._program.inputs
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            frames.reshape(steps, batch, -1).swapaxes(0, 1).tofile(folder / "frames")
            roles.tofile(folder / "roles")
            values = np.concatenate(given, 2).swapaxes(0, 1) if given else np.empty(0, np.float32)
            values.tofile(folder / "given")
            files = [str(folder / file) for file in ("frames", "roles", "given", "out")]
            run_to_its_end(self._probe, *files, str(batch), str(steps))
            found = np.fromfile(folder / "out", np.float32)
        if found.size != batch * steps * row:
            raise CError(f"The C program returned {found.size} numbers; due were {batch * steps * row}.")
        return found.reshape(batch, steps, row)


def as_written(folder: Path, plan: Plan) -> FloatProgram:
    """The program that the files of ``folder`` hold, after checking that they hold nothing else.

    Raises:
        DataError: a file cannot be read.
        UnsupportedError: it is not what this version writes of ``plan``.
    """
    made = program(plan)
    due = {HEADER: header(made), SOURCE: source(made)}
    require_as_written(folder, read_sources(folder, due), due, network=GRAPH, kit="run_c_float.sh")
    return made


def _outside(values: Floats, shape: Shape) -> torch.Tensor:
    """``[T, B, elements]`` of the program as ``[T, B, *shape]`` of the hub."""
    steps, batch = values.shape[:2]
    if len(shape) == 1:
        return torch.from_numpy(values.copy())
    moved = np.moveaxis(values.reshape(steps, batch, *shape[1:], shape[0]), -1, 2)
    return torch.from_numpy(np.ascontiguousarray(moved))


@BACKENDS.register("c-float")
def open_c_float(path: Path) -> FloatCProgram:
    """The bundle's model_float.c, compiled by this machine's C compiler."""
    return FloatCProgram(path)
