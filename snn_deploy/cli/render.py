"""Rendering shared by the commands: tables for people, JSON for machines, errors for both."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table

from snn_deploy.core.errors import Problem, SnnDeployError
from snn_deploy.core.text import visible

PIPED_WIDTH = 120


class VisibleConsole(Console):
    """A console on which no text moves the cursor, sets colours or turns the direction of writing: control
    characters of what is printed appear as escapes."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def _width(stream: TextIO) -> int | None:
    """None where the terminal or ``$COLUMNS`` decides."""
    return None if stream.isatty() or os.environ.get("COLUMNS", "").isdigit() else PIPED_WIDTH


out = VisibleConsole(width=_width(sys.stdout), highlight=False, soft_wrap=False)
err = VisibleConsole(stderr=True, width=_width(sys.stderr), highlight=False)


def first_process() -> bool:
    """Whether this is the process that speaks, of those that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0" or os.environ.get("WORLD_SIZE", "1") == "1"


def say(text: str = "") -> None:
    """Print one plain line to standard output; markup in ``text`` is not interpreted."""
    out.print(escape(visible(text)), soft_wrap=True)


def note(text: str) -> None:
    """Print one progress line to standard error."""
    err.print(escape(visible(text)), soft_wrap=True, style="dim")


def emit_json(value: Any) -> None:
    """Print ``value`` as JSON to standard output; dates are text."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    title: str = "",
    numeric: Sequence[str] = (),
    console: Console = out,
) -> None:
    """Print a table; columns named in ``numeric`` are right-aligned."""
    view = Table(
        title=escape(title) or None, title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for column in columns:
        view.add_column(
            escape(column),
            justify="right" if column in numeric else "left",
            header_style="bold",
            overflow="fold",
        )
    for row in rows:
        view.add_row(*(escape("" if cell is None else visible(str(cell))) for cell in row))
    console.print(view)


def problems(items: Sequence[Problem], console: Console = err) -> None:
    """Print all problems in one table; columns that are empty throughout are left out."""
    columns = {
        "where": [visible(p.where, one_line=True) for p in items],
        "what": [p.what for p in items],
        "rule": [f"{p.rule} [{p.source}]" if p.source else p.rule for p in items],
        "try": [p.try_instead for p in items],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    table(list(shown), zip(*shown.values(), strict=True), console=console)


def error_content(failure: SnnDeployError) -> dict[str, Any]:
    """An error as the content of a JSON document."""
    return {
        "error": failure.message,
        "exit_code": failure.exit_code,
        "hint": failure.hint,
        "problems": [
            {"where": p.where, "what": p.what, "rule": p.rule, "source": p.source, "try": p.try_instead}
            for p in failure.problems
        ],
    }


def error(failure: SnnDeployError, *, as_json: bool) -> None:
    """Print an error: message, table of problems, hint."""
    if as_json:
        emit_json(error_content(failure))
        return
    err.print(f"[bold red]error:[/] {escape(visible(failure.message))}", soft_wrap=True)
    if failure.problems:
        problems(failure.problems)
    if failure.hint:
        err.print(f"[bold]hint:[/] {escape(visible(failure.hint))}", soft_wrap=True)
