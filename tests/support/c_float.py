"""Graphs written as float32 C into a folder."""

from __future__ import annotations

from pathlib import Path

import nir

from snn_deploy.export.c_float.program import program
from snn_deploy.export.c_float.runtime import GRAPH, HEADER, SOURCE, FloatCProgram
from snn_deploy.export.c_float.source import header, source
from snn_deploy.export.nir import write_hub
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import read_nir


def write_program(graph: nir.NIRGraph, folder: Path) -> Path:
    """``model_float.nir``, with the C code beside it."""
    folder.mkdir(exist_ok=True)
    assert write_hub(make_plan(graph), folder / GRAPH)
    made = program(make_plan(read_nir(folder / GRAPH)))
    (folder / HEADER).write_text(header(made))
    (folder / SOURCE).write_text(source(made))
    return folder / GRAPH


def compiled(graph: nir.NIRGraph, folder: Path, *, extra: tuple[str, ...] = ()) -> FloatCProgram:
    """The program of ``graph``, ready to run."""
    return FloatCProgram(write_program(graph, folder), extra=extra)
