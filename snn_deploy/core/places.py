"""Places: what lies at a path that a command is given, told without opening it; and where the cache is."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from snn_deploy.core.errors import DataError
from snn_deploy.core.files import clear_leftovers

Kind = Literal["run", "nir", "net", "bundle", "module", "conversion"]
CERTIFICATE = "certificate.json"
"""What makes a folder that of a converted network."""


def kind_at(path: Path) -> Kind:
    """Whether a run folder, a bundle folder, a converted network, a ``.nir`` or a ``.net`` file lies at
    ``path``, or it is ``FILE.py:NAME``; a folder whose process died while it was replaced is put back first.

    Raises:
        DataError: none of them does.
    """
    if path.name.rpartition(":")[0].endswith(".py"):
        return "module"
    if not path.exists():
        clear_leftovers(path.parent)
    if path.is_file() and path.suffix in {".nir", ".net"}:
        return "nir" if path.suffix == ".nir" else "net"
    if (path / "manifest.json").is_file():
        return "bundle"
    if (path / "recipe.yaml").is_file():
        return "run"
    if (path / CERTIFICATE).is_file():
        return "conversion"
    what = "does not exist" if not path.exists() else "is none of them"
    raise DataError(
        f"A run folder, a bundle folder, a .nir or a .net file, or FILE.py:NAME is needed; '{path}' {what}.",
        hint="Make a run with: snn-deploy distill quickstart",
    )


def cache_dir() -> Path:
    """``$SNN_DEPLOY_CACHE``, or ``snn-deploy`` in the platform's folder for a user's cached files."""
    if own := os.environ.get("SNN_DEPLOY_CACHE"):
        return Path(own).expanduser()
    if sys.platform == "darwin":
        base = "~/Library/Caches"
    elif sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "snn-deploy"
