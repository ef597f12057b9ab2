"""Where the Lava environment is: a virtual environment of its own, found by its stamp."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from snn_deploy.core.errors import MissingOptionalError

ENVIRONMENT_VARIABLE = "SNN_DEPLOY_LAVA_PYTHON"
FOLDER = ".venv-lava"
INSTALL_COMMAND = "snn-deploy doctor --install-lava"
STAMP = "lava_environment.json"
RECIPE = 2
"""Version of the steps in :mod:`.install`; an environment with another stamp is completed again."""
PUBLISHED_NETS = "lava_dl_nets"
"""Folder of the environment with the test networks that lava-dl publishes, and the arrays they must give."""


def default_location() -> Path:
    """Where :func:`~snn_deploy.simulate.lava.install.install` puts the environment unless told: beside the
    current virtual environment, or in the user's cache folder when there is none."""
    if sys.prefix != sys.base_prefix:
        return Path(sys.prefix).parent / FOLDER
    return _user_cache() / FOLDER


def lava_environment() -> Path | None:
    """The Python of the Lava environment, or None.

    ``$SNN_DEPLOY_LAVA_PYTHON`` names it; otherwise a finished ``.venv-lava`` beside the current virtual
    environment, in the working directory, or in the user's cache folder.
    """
    if named := os.environ.get(ENVIRONMENT_VARIABLE):
        return Path(named) if Path(named).is_file() else None
    for folder in (Path(sys.prefix).parent, Path.cwd(), _user_cache()):
        if is_ready(folder / FOLDER):
            return python_of(folder / FOLDER)
    return None


def require_lava() -> Path:
    """The Python of the Lava environment.

    Raises:
        MissingOptionalError: there is none, with the command that installs it.
    """
    if python := lava_environment():
        return python
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    raise MissingOptionalError(
        f"${ENVIRONMENT_VARIABLE} names '{named}', which is no file."
        if named
        else "The Lava environment is not installed.",
        hint=f"Install it (about 130 MB): {INSTALL_COMMAND}",
    )


def python_of(folder: Path) -> Path:
    """The interpreter of the virtual environment ``folder``."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_ready(folder: Path) -> bool:
    """Whether ``folder`` is an environment that was installed to its end, by these steps."""
    try:
        stamp = json.loads((folder / STAMP).read_text())
    except (OSError, ValueError):
        return False
    return bool(stamp == {"recipe": RECIPE}) and python_of(folder).is_file()


def _user_cache() -> Path:
    if named := os.environ.get("SNN_DEPLOY_CACHE"):
        return Path(named)
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "snn-deploy"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "snn-deploy"
    return Path(os.environ.get("XDG_CACHE_HOME", home / ".cache")) / "snn-deploy"
