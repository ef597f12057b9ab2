"""Where the real data lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("SNN_DEPLOY_DATA", ROOT.parent / "shared" / "data"))


def real_data(name: str) -> Path:
    """The folder of a real data set, or skip: ``$SNN_DEPLOY_DATA/name`` or ``../shared/data/name``."""
    if not (FOLDER / name).exists():
        pytest.skip(f"real data '{name}' are not here; set SNN_DEPLOY_DATA to the folder that holds them")
    return FOLDER / name
