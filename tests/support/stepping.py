"""A network with the files of every backend that takes one frame at a time."""

from __future__ import annotations

from pathlib import Path

import torch

from snn_deploy.export.base import Calibration
from snn_deploy.export.c.writer import CWriter
from snn_deploy.export.nir import NirWriter
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.options import COptions, OnnxOptions
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.tasks.open import open_source
from snn_deploy.tasks.source import Source
from support.students import IN_SHAPE, NEURONS, spikes_in, student


def stepping_source(folder: Path, semantics: Semantics) -> Source:
    """A source with these files beside it, in ``folder``, as a bundle has them."""
    torch.manual_seed(0)
    graph = from_torch(student(NEURONS["LIF"]), IN_SHAPE, semantics=semantics)
    calibration = Calibration(spikes_in())
    written = {
        "nir": NirWriter().write(graph, folder, calibration),
        "onnx": OnnxWriter(OnnxOptions(models=("step",))).write(graph, folder, calibration),
        "c": CWriter(COptions()).write(graph, folder, calibration),
    }
    opened = open_source(folder / "model.nir")
    formats = {name: {"files": content.files} for name, content in written.items()}
    return Source("net", "bundle", folder, opened.plan, opened.executable, manifest={"formats": formats})
