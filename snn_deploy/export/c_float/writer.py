"""The format ``c-float``: the hub graph itself in float32, for networks that no integer form can hold.

Soft resets, several spikes in a step, recurrence, delays: whatever the reference simulator runs. The graph
travels along as ``model_float.nir``, what the C code was written from, and is proven like an ONNX file.
"""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import torch

from snn_deploy.core.errors import MissingOptionalError, Problem, UnsupportedError
from snn_deploy.core.files import write_bytes, write_text
from snn_deploy.core.registry import FORMATS, Options
from snn_deploy.export.base import Calibration, Check, Written, student_check
from snn_deploy.export.c_float.program import problems, program
from snn_deploy.export.c_float.runtime import GRAPH, HEADER, SOURCE, FloatCProgram
from snn_deploy.export.c_float.source import header, source
from snn_deploy.export.nir import write_hub
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import name_problems, read_nir
from snn_deploy.graph.trained_form import real_numbers_note
from snn_deploy.graph.types import Plan

EXAMPLE = "example_float.bin"
EXAMPLE_SAMPLES = 2


class FloatCWriter:
    """Writes ``model_float.h``, ``model_float.c``, their graph and, where there is a compiler,
    ``example_float.bin``."""

    def check(self, graph: nir.NIRGraph) -> list[Problem]:
        """Too many weights for a compiler, and names that the graph's own file cannot hold."""
        return _problems(make_plan(graph))

    def write(self, graph: nir.NIRGraph, folder: Path, calibration: Calibration) -> Written:
        """Write ``graph``.

        Raises:
            UnsupportedError: with all problems of :meth:`check`.
        """
        plan = make_plan(graph)
        if found := _problems(plan):
            raise UnsupportedError("The graph cannot be written as C.", problems=found)
        write_hub(plan, folder / GRAPH)
        made = program(make_plan(read_nir(folder / GRAPH)))
        write_text(folder / HEADER, header(made))
        write_text(folder / SOURCE, source(made))
        files = {"model": GRAPH, "source": SOURCE, "header": HEADER}
        try:
            content = example(FloatCProgram(folder / GRAPH), calibration.x[:, :EXAMPLE_SAMPLES].float())
        except MissingOptionalError:
            pass  # the bits of the example are those of the code; the proof says that there is no compiler
        else:
            write_bytes(folder / EXAMPLE, content)
            files["example"] = EXAMPLE
        table = [
            {"node": n.title, "constant_bytes": n.constant_bytes, "state_bytes": n.state_bytes}
            for n in made.nodes
            if n.constant_bytes or n.state_bytes
        ]
        return Written(
            files=files,
            checks=(
                Check("model", "c-float"),
                *student_check(graph, "model", "c-float", exact=False),
            ),
            approximations=real_numbers_note(graph),
            tables={"c-float": table},
        )


def _problems(plan: Plan) -> list[Problem]:
    return [*problems(plan), *name_problems(plan.order)]


def example(made: FloatCProgram, x: torch.Tensor) -> bytes:
    """Frames and the outputs due for them, as the kit's ``main_float.c`` reads them, of ``x [T, B, *shape]``.

    Four int32: samples, steps, inputs, outputs. Then, per sample and step, input and output in float32, in
    this machine's byte order.
    """
    due = made.run(x).output.flatten(2).swapaxes(0, 1).numpy()
    frames = x.flatten(2).swapaxes(0, 1).numpy()
    samples, steps, inputs = frames.shape
    head = np.array([samples, steps, inputs, due.shape[2]], np.int32)
    return head.tobytes() + np.concatenate([frames, due], 2).astype(np.float32).tobytes()


@FORMATS.register("c-float")
def writer(_options: Options) -> FloatCWriter:
    """The writer of the format ``c-float``."""
    return FloatCWriter()
