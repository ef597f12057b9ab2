"""The argument of every command that takes a network, and the option for what it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def is_there(path: Path | None) -> Path | None:
    """Refuse a given path at which nothing lies, before anything that opens networks is loaded."""
    from snn_deploy.core.places import kind_at

    if path is not None and not path.exists():
        kind_at(path)
    return path


Network = Annotated[
    Path,
    typer.Argument(
        callback=is_there, help="A run, a bundle, a converted network, a .nir or .net file, or FILE.py:NAME."
    ),
]
Override = Annotated[
    list[str] | None,
    typer.Option("-o", "--override", metavar="KEY=VALUE", help="data.KEY=VALUE, timesteps=T."),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="Data set, FILE.py:NAME, or FILE.npz with x [T, N, ...] and y [N]. Default: its own.",
        show_default=False,
    ),
]
