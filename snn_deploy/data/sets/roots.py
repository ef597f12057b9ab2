"""Where a data set is looked for when no folder is given."""

from __future__ import annotations

import os
from pathlib import Path

from snn_deploy.data.loading.cache import cache_dir


def default_root(folder: str) -> Path:
    """``$SNN_DEPLOY_DATA/folder``, or ``folder`` in the cache folder."""
    data = os.environ.get("SNN_DEPLOY_DATA")
    return (Path(data).expanduser() if data else cache_dir()) / folder


def found_root(folder: str, *others: Path) -> Path:
    """The first that is there of :func:`default_root` and ``others``; that of ``folder`` where none is."""
    places = (default_root(folder), *others)
    return next((place for place in places if place.is_dir()), places[0])
