"""Options that state what a module of the user's own, ``FILE.py:NAME``, does not say itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snn_deploy.cli.grouped import grouped
from snn_deploy.cli.trust import TRUST

if TYPE_CHECKING:
    from snn_deploy.tasks.own import Own

_PANEL = "For a network of your own, FILE.py:NAME"


def _option(name: str, text: str, metavar: str | None = None) -> Any:
    return typer.Option(name, help=text, metavar=metavar, show_default=False, rich_help_panel=_PANEL)


_OPTIONS: dict[str, Any] = {
    "weights": Annotated[
        Path | None, _option("--weights", "Its weights: .pt (a state dict) or .safetensors.")
    ],
    "arg": Annotated[
        list[str] | None,
        _option("--arg", "Argument of NAME, such as width=16; repeat for several.", "KEY=VALUE"),
    ],
    "shape": Annotated[
        str | None,
        _option(
            "--shape", "Its input without time and batch, such as 2x34x34. Default: of the data.", "CxHxW"
        ),
    ],
    "timesteps": Annotated[int | None, _option("--timesteps", "T. Default: of the data.")],
    "classes": Annotated[
        str | None,
        _option("--classes", "Names of its classes in order, separated by commas, or their number."),
    ],
    "trust": Annotated[
        bool | None, typer.Option("--trust", help=TRUST, show_default=False, rich_help_panel=_PANEL)
    ],
}


def stated_own(
    weights: Path | None,
    arg: list[str] | None,
    shape: str | None,
    timesteps: int | None,
    classes: str | None,
    trust: bool | None,
) -> Own:
    """The options as one value.

    Raises:
        ConfigError: they cannot be read; all at once.
    """
    from snn_deploy.core.errors import ConfigError, Problem
    from snn_deploy.recipes.own_code import read_arguments
    from snn_deploy.tasks.own import Own

    problems = []
    if shape is not None and not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", shape):
        problems.append(Problem("--shape", f"'{shape}'", "whole numbers with x between, such as 2x34x34"))
    if timesteps is not None and timesteps < 1:
        problems.append(Problem("--timesteps", str(timesteps), "at least 1"))
    if problems:
        raise ConfigError("The network is stated in a way we cannot read.", problems=problems)
    names = [name.strip() for name in (classes or "").split(",") if name.strip()]
    if len(names) == 1 and names[0].isdigit():
        names = [str(number) for number in range(int(names[0]))]
    return Own(
        weights=weights,
        arguments=read_arguments(arg or ()),
        shape=tuple(int(n) for n in shape.split("x")) if shape else None,
        timesteps=timesteps,
        classes=tuple(names),
        trust=bool(trust),
    )


own_options = grouped("own", _OPTIONS, stated_own)
"""Gives these options to a command that takes an ``own``, a :class:`snn_deploy.tasks.own.Own`."""
