"""The shelf: small bundles that ship, each proven, with its licence and the command that made it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from snn_deploy.core.assets import asset_dir, shipped_values
from snn_deploy.core.errors import ConfigError, did_you_mean

LIST = "SHELF"
"""Name of the list, a YAML file."""


class Shelved(NamedTuple):
    """A model of the shelf: what its manifest says, and what ``SHELF.yaml`` adds."""

    name: str
    data: str
    accuracy: float
    samples: int
    timesteps: int
    formats: tuple[str, ...]
    verdict: str
    licence: str
    data_licence: str
    data_source: str
    command: str


def shelved() -> list[Shelved]:
    """Every model of the shelf, in the order of its list."""
    return [_read(asset_dir("models") / name, extra) for name, extra in _listed().items()]


def _listed() -> dict[str, dict[str, Any]]:
    """What ``SHELF.yaml`` says of each model."""
    return shipped_values("models", LIST)


def _read(folder: Path, extra: dict[str, Any]) -> Shelved:
    manifest = json.loads((folder / "manifest.json").read_text())
    judged = next(row for row in manifest["parity"] if row["accuracy"] is not None)
    return Shelved(
        name=folder.name,
        data=extra["data"],
        accuracy=judged["accuracy"],
        samples=judged["samples"],
        timesteps=manifest["timesteps"],
        formats=tuple(manifest["formats"]),
        verdict=manifest["verdict"],
        licence=extra["licence"],
        data_licence=extra["data_licence"],
        data_source=extra["data_source"],
        command=extra["command"],
    )


def copy_model(name: str, destination: Path) -> None:
    """Copy the bundle of a shelved model; nothing is overwritten.

    Raises:
        ConfigError: no such model, or something lies at ``destination``.
    """
    known = _listed()
    if name not in known:
        raise ConfigError(
            f"There is no model '{name}' on the shelf.{did_you_mean(name, known)}",
            hint=f"Known: {', '.join(known)}",
        )
    if destination.exists():
        raise ConfigError(f"'{destination}' exists; it is not overwritten.")
    shutil.copytree(asset_dir("models") / name, destination)
