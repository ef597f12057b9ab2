"""``init``: a small working example to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FILES = ("my_net.py", "my_data.py", "recipe.yaml", "test_my_net.py")
"""What lies in ``distill/start``."""


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write into; nothing is overwritten.")],
) -> None:
    """Write a network, data, a recipe and a test of your own to begin with: they work as they are."""
    from snn_deploy.cli import render
    from snn_deploy.core.assets import asset_dir
    from snn_deploy.core.errors import ConfigError, Problem
    from snn_deploy.core.files import write_bytes

    there = [Problem(name, "exists") for name in FILES if (folder / name).exists()]
    if there:
        raise ConfigError(f"Files in '{folder}' would be overwritten.", problems=there)
    for name in FILES:
        write_bytes(folder / name, (asset_dir("distill") / "start" / name).read_bytes())
        render.say(f"wrote {folder / name}")
    render.say(f"next:  snn-deploy distill {folder / 'recipe.yaml'} --trust")
