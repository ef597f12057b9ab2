"""The test networks that lava-dl publishes inside its wheel, with the arrays they come with.

They are 68 MB, so they are not kept here. ``$SNN_DEPLOY_LAVA_DL`` names the wheel, from
``pip download --no-deps --ignore-requires-python lava-dl==0.6.0``, or the folder it was unpacked into; by
default it is looked for in ``../shared/data/lava-dl`` beside the repository.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from support.data import ROOT

INSIDE = "tests/lava/lib/dl/netx"
WHEEL = "lava_dl-0.6.0-py3-none-any.whl"
_DEFAULT = ROOT.parent / "shared" / "data" / "lava-dl"


def place() -> Path | None:
    """The wheel, or the folder it was unpacked into; None where there is neither."""
    named = os.environ.get("SNN_DEPLOY_LAVA_DL")
    for found in [Path(named)] if named else [_DEFAULT / WHEEL, _DEFAULT]:
        if found.is_file() or (found / INSIDE).is_dir():
            return found
    return None


published = pytest.mark.skipif(
    place() is None,
    reason=f"needs lava-dl's wheel: $SNN_DEPLOY_LAVA_DL, or {WHEEL} in ../shared/data/lava-dl",
)


def net_file(name: str, folder: Path) -> Path:
    """A network of the wheel, as a file."""
    path = folder / Path(name).name
    path.write_bytes(_content(name))
    return path


def array(name: str) -> np.ndarray:
    """An array of the wheel, time first and C H W behind it: there ``(W, H, C, T)`` or ``(N, T)``."""
    values = np.load(io.BytesIO(_content(name)), allow_pickle=False)
    return values.transpose(*range(values.ndim - 1, -1, -1))


def _content(name: str) -> bytes:
    found = place()
    assert found is not None
    if found.is_dir():
        return (found / INSIDE / name).read_bytes()
    with zipfile.ZipFile(found) as wheel:
        return wheel.read(f"{INSIDE}/{name}")
