"""Samples that a network is shown: what they are, and those of a ``.npz`` file."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snn_deploy.core.errors import DataError
from snn_deploy.core.files import sha256_file
from snn_deploy.core.parsing import named_damage
from snn_deploy.export.base import Calibration
from snn_deploy.export.verify import Samples
from snn_deploy.graph.semantics import Decode

CALIBRATION_SAMPLES = 128
MAX_SAMPLES_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class LoadedSamples:
    """Test samples, calibration samples, and where they come from."""

    test: Samples
    calibration: Calibration
    description: dict[str, Any]


def read_samples(path: Path, decode: Decode, count: int | None) -> LoadedSamples:
    """Samples of a ``.npz`` file, the first ``count`` of them to test; see :func:`load_samples`.

    Raises:
        DataError: it is missing or damaged, or is no ``x [T, N, *shape]`` with ``y [N]``.
    """
    if not path.is_file():
        raise DataError(f"There is no file '{path}'.")
    with named_damage(f"'{path}' cannot be read as samples", unreadable=f"'{path}' cannot be read"):
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > MAX_SAMPLES_BYTES:
            raise DataError(f"'{path}' unpacks to {size} bytes; at most {MAX_SAMPLES_BYTES} are read.")
        with np.load(path, allow_pickle=False) as content:
            x = torch.from_numpy(np.asarray(content["x"], dtype=np.float32))
            y = torch.from_numpy(np.asarray(content["y"], dtype=np.int64)) if "y" in content else None
    if x.ndim < 3 or not bool(torch.isfinite(x).all()) or (y is not None and y.shape != x.shape[1:2]):
        raise DataError(f"'{path}': x must be finite, [T, N, ...], and y [N]; x has shape {tuple(x.shape)}.")
    calibration = Calibration(x[:, :CALIBRATION_SAMPLES], None if y is None else y[:CALIBRATION_SAMPLES])
    chosen = Samples(x[:, :count], None if y is None else y[:count], decode)
    description = {
        "name": path.name,
        "digest": sha256_file(path),
        "split": "file",
        "samples": len(chosen),
        "of": int(x.shape[1]),
        "notes": [],
        "frames": f"Data: {path.name}, {len(chosen)} of {x.shape[1]} samples of {x.shape[0]} frames.",
    }
    return LoadedSamples(chosen, calibration, description)
