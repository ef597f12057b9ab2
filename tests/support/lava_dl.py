"""The test networks that lava-dl publishes inside its wheel, with the arrays they come with.

They are 68 MB, so they are not kept here: the installer of the Lava environment keeps them there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snn_deploy.simulate.lava.environment import INSTALL_COMMAND, PUBLISHED_NETS, STAMP, lava_environment


def place() -> Path | None:
    """The folder of the networks; None without a Lava environment of our installer's making."""
    python = lava_environment()
    if python is None or not (python.parents[1] / STAMP).is_file():
        return None
    return python.parents[1] / PUBLISHED_NETS


published = pytest.mark.skipif(place() is None, reason=f"needs the Lava environment: {INSTALL_COMMAND}")


def net_file(name: str, folder: Path) -> Path:
    """A network of the wheel, as a file that may be changed."""
    path = folder / Path(name).name
    path.write_bytes(_published(name).read_bytes())
    return path


def array(name: str) -> np.ndarray:
    """An array of the wheel, time first and C H W behind it: there ``(W, H, C, T)`` or ``(N, T)``."""
    values = np.load(_published(name), allow_pickle=False)
    return values.transpose(*range(values.ndim - 1, -1, -1))


def _published(name: str) -> Path:
    found = place()
    assert found is not None
    return found / name
