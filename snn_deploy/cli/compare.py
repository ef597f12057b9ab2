"""``compare``: two reports side by side, and a gate for continuous integration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    before: Annotated[Path, typer.Argument(help="A report.json, or the folder of a report, run or bundle.")],
    after: Annotated[Path, typer.Argument(help="The same, to hold against it.")],
    fail_if_energy_up: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Exit 4 if any dynamic energy rose by more, for example 5%."),
    ] = None,
    fail_if_accuracy_down: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Exit 4 if any accuracy fell by more points, for example 0.5%."),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Compare the energy of this profile only; may be repeated."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare accuracy, synaptic operations and energy of two reports."""
    from snn_deploy.cli import render
    from snn_deploy.report.compare import require_accuracy, require_energy
    from snn_deploy.report.terminal import comparison_tables
    from snn_deploy.tasks.compare import compare_reports

    most = _fraction("--fail-if-energy-up", fail_if_energy_up)
    least = _fraction("--fail-if-accuracy-down", fail_if_accuracy_down)
    found = compare_reports(before, after, profiles=profile or ())
    if json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        render.out.print(comparison_tables(found))
    if least is not None:
        require_accuracy(found, least)
    if most is not None:
        require_energy(found, most)


def _fraction(option: str, text: str | None) -> float | None:
    """``5%`` as 0.05; None where the option is not given.

    Raises:
        ConfigError: not a percentage.
    """
    from snn_deploy.core.errors import ConfigError

    if text is None:
        return None
    number = text.strip().removesuffix("%").strip()
    try:
        value = float(number) / 100
    except ValueError:
        value = -1.0
    if not text.strip().endswith("%") or not 0 <= value < float("inf"):
        raise ConfigError(f"'{text}' is no percentage.", hint=f"Write {option} 5%.")
    return value
