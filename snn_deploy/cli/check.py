"""``check``: can the network go there, and does it fit?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snn_deploy.cli.network import Network
from snn_deploy.cli.own import own_options
from snn_deploy.cli.reading import reading_options

if TYPE_CHECKING:
    from snn_deploy.hardware.findings import Finding
    from snn_deploy.hardware.fit import Fit
    from snn_deploy.hardware.placement.base import Placement, Use
    from snn_deploy.tasks.check import Answer

NODES_SHOWN = 3


@own_options
@reading_options
def check(
    source: Network,
    target: Annotated[
        str, typer.Option(help="Chips, profiles and formats, separated by commas: loihi2,speck2f,lava.")
    ],
    reading: Any = None,
    own: Any = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List every reason why a network cannot go to a target, with the number, the limit and its source."""
    from snn_deploy import api
    from snn_deploy.cli import render
    from snn_deploy.core.errors import FitError, UnsupportedError
    from snn_deploy.tasks.check import exit_code

    names = [part.strip() for part in target.split(",") if part.strip()]
    answers = api.check_network(source, names, reading=reading, own=own, report=render.note)
    code = exit_code(answers)
    if json:
        render.emit_json([_as_dict(answer) for answer in answers])
        raise typer.Exit(code)
    _show(source, answers)
    if code == UnsupportedError.exit_code:
        raise UnsupportedError(f"'{source}' cannot be written for every target.")
    if code == FitError.exit_code:
        raise FitError(f"'{source}' does not fit every target.")


def _show(source: Path, answers: Sequence[Answer]) -> None:
    from snn_deploy.cli import render

    render.table(
        ["target", "question", "answer", "cores"],
        ([a.target, a.question, a.verdict, _cores(a.fit.placement) if a.fit else "-"] for a in answers),
        title=str(source),
    )
    sources = _Sources()
    _table(
        "what does not fit",
        ["target", "where", "found", "limit", "src", "try"],
        (
            [t, where, f.found, f.limit, sources.number(f.source), f.try_instead]
            for t, where, f in _grouped(answers, "violated")
        ),
    )
    _table(
        "what nobody can tell",
        ["target", "what", "limit", "src"],
        (
            [t, f.found if where == "network" else f"{where}: {f.found}", f.limit, sources.number(f.source)]
            for t, where, f in _grouped(answers, "unknown")
        ),
    )
    _table(
        "what the chip changes",
        ["target", "where", "found", "becomes", "src"],
        (
            [t, where, f.found, f.limit, sources.number(f.source)]
            for t, where, f in _grouped(answers, "changed")
        ),
    )
    for answer in answers:
        if answer.fit is not None:
            _show_placement(answer.target, answer.fit)
    sources.show()


def _show_placement(target: str, fit: Fit) -> None:
    """Cores and memory of every layer, and what no check can see."""
    from snn_deploy.cli import render

    rows = fit.placement.rows
    resources = list(dict.fromkeys(name for row in rows for name in row.uses))
    _table(
        f"{target}: {fit.placement.scheme}",
        ["layer", "cores", *resources],
        ([row.layer, row.cores, *(_use(row.uses.get(name)) for name in resources)] for row in rows),
    )
    for remark in fit.remarks:
        render.say(f"{target}: {remark}")


class _Sources:
    """Numbers sources in the order in which they are first cited."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, source: str) -> str:
        return f"[{self._numbers.setdefault(source, len(self._numbers) + 1)}]" if source else ""

    def show(self) -> None:
        from snn_deploy.cli import render

        if self._numbers:
            render.say()
        for source, number in self._numbers.items():
            render.say(f"[{number}] {source}")


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table without empty columns, or nothing where there are no rows."""
    from snn_deploy.cli import render

    cells = list(rows)
    if cells:
        shown = [i for i in range(len(columns)) if any(row[i] for row in cells)]
        render.say()
        render.table([columns[i] for i in shown], ([row[i] for i in shown] for row in cells), title=title)


def _grouped(answers: Sequence[Answer], state: str) -> list[tuple[str, str, Finding]]:
    """Findings of one state; equal ones at several nodes share a row."""
    groups: dict[tuple[str, str, str, str], tuple[list[str], Finding]] = {}
    for answer in answers:
        for finding in answer.findings:
            if finding.state == state:
                key = (answer.target, finding.rule, finding.found, finding.limit)
                groups.setdefault(key, ([], finding))[0].append(finding.where)
    return [(key[0], _nodes(nodes), finding) for key, (nodes, finding) in groups.items()]


def _nodes(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NODES_SHOWN])
    return f"{shown} and {len(names) - NODES_SHOWN} more" if len(names) > NODES_SHOWN else shown


def _cores(placement: Placement) -> str:
    if placement.cores is None:
        return "-"
    low, high = placement.cores
    needed = f"at least {low:,}" if high is None else f"{low:,}" if low == high else f"{low:,} to {high:,}"
    if placement.available is None:
        return needed
    room = " or ".join(f"{n:,}" for n in dict.fromkeys(placement.available))
    share = placement.utilisation
    return f"{needed} of {room}" + (f" ({100 * share:.0f} %)" if share is not None else "")


def _use(use: Use | None) -> str:
    if use is None:
        return "-"
    return f"{use.amount:,}" if use.available is None else f"{use.amount:,} / {use.available:,}"


def _as_dict(answer: Answer) -> dict[str, Any]:
    from dataclasses import asdict

    fit = asdict(answer.fit) if answer.fit is not None else None
    placement = fit["placement"] if fit is not None else None
    if placement is not None:
        placement.pop("findings")
    return {
        "target": answer.target,
        "question": answer.question,
        "verdict": answer.verdict,
        "findings": [asdict(finding) for finding in answer.findings],
        "profile": fit["profile"] if fit is not None else None,
        "remarks": list(fit["remarks"]) if fit is not None else [],
        "placement": placement,
    }
