"""Find the folders that people read and extend: recipes, runtime kits, hardware profiles and models.

In a checkout they lie beside the package; in an installed wheel they travel inside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from snn_deploy.core.errors import ConfigError, did_you_mean, known_names

AssetKind = Literal["distill", "export", "hardware_profiles", "models"]

_PACKAGE = Path(__file__).resolve().parents[1]


def asset_dir(kind: AssetKind) -> Path:
    """The folder of one asset kind: ``distill`` (recipes), ``export`` (kits), ``hardware_profiles``,
    ``models`` (the shelf)."""
    for root in (_PACKAGE / "_assets", _PACKAGE.parent):
        folder = root / kind
        if folder.is_dir():
            return folder
    raise ConfigError(
        f"The folder '{kind}' that ships with snn-deploy is missing.",
        hint="Reinstall the package: pip install --force-reinstall snn-deploy",
    )


def asset_names(kind: AssetKind, suffix: str = ".yaml") -> list[str]:
    """Names (without suffix) of all assets of a kind, sorted."""
    return sorted(path.name.removesuffix(suffix) for path in asset_dir(kind).glob(f"*{suffix}"))


def shipped_values(kind: AssetKind, name: str) -> dict[str, Any]:
    """The values of a YAML file that ships: parsed fast, without the checks of strangers' files."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (asset_dir(kind) / f"{name}.yaml").read_bytes()
    values: dict[str, Any] = yaml.load(text, Loader=loader)  # noqa: S506 - the same loader, written in C
    return values


def find_asset(kind: AssetKind, name: str, what: str, suffix: str = ".yaml") -> Path:
    """A file given by path, or a shipped asset given by name; ``what`` names it in the error.

    Raises:
        ConfigError: neither a readable file nor a known name.
    """
    as_path = Path(name).expanduser()
    if as_path.suffix in {suffix, ".yml"} or as_path.is_absolute() or len(as_path.parts) > 1:
        if as_path.is_file():
            return as_path
        raise ConfigError(f"There is no {what} file at '{name}'.")
    known = asset_names(kind, suffix)
    if name not in known:
        raise ConfigError(
            f"Unknown {what} '{name}'.{did_you_mean(name, known)}",
            hint=known_names(name, known, "snn-deploy ls"),
        )
    return asset_dir(kind) / f"{name}{suffix}"
