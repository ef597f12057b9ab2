"""Shared fixtures: one thread, fixed seeds, and where the real data lie."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parent.parent


def real_data(name: str) -> Path:
    """The folder of a real data set, or skip: ``$SNN_DEPLOY_DATA/name`` or ``../shared/data/name``."""
    root = Path(os.environ.get("SNN_DEPLOY_DATA", ROOT.parent / "shared" / "data"))
    if not (root / name).exists():
        pytest.skip(f"real data '{name}' are not here; set SNN_DEPLOY_DATA to the folder that holds them")
    return root / name


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
