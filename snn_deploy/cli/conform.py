"""``conform``: does a reader compute what NIR files mean?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snn_deploy.cli.reading import reading_options

if TYPE_CHECKING:
    from snn_deploy.conformance.judge import Verdict
    from snn_deploy.conformance.matrix import Column
    from snn_deploy.graph.timing import Reading

GIB = 1 << 30


@reading_options
def conform(
    reader: Annotated[
        str | None,
        typer.Option(
            help="snn-deploy, snntorch, norse, spikingjelly, nirtorch, sinabs, sinabs-set, rockpool, spyx, "
            "snn-mlir, or a FILE.py with run(path, x, dt)."
        ),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(help="Interpreter of the environment that has the reader.", show_default="this one"),
    ] = None,
    step: Annotated[
        float | None, typer.Option(help="Step in seconds that it is told.", show_default="the reader's")
    ] = None,
    nir_compat: Annotated[
        str | None,
        typer.Option(help="NIR library to write files for: 1.0.8 or 1.0.4.", show_default="the reader's"),
    ] = None,
    seconds: Annotated[float, typer.Option("--timeout", help="Seconds for one answer.", min=1.0)] = 60.0,
    memory: Annotated[int, typer.Option(help="GiB that the reader's process may hold.", min=1)] = 4,
    file: Annotated[
        Path | None, typer.Option("--file", help="A NIR file: is our reading that of its --trace?")
    ] = None,
    reading: Any = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put small graphs with known answers to a reader: right, wrong (as if what), or refused."""
    from snn_deploy.cli import render
    from snn_deploy.core.errors import ConfigError, ParityError
    from snn_deploy.graph.readers.io import COMPATIBLE
    from snn_deploy.tasks.conform import conform as put_to

    if (reader is None) == (file is None):
        raise ConfigError("One of --reader and --file is needed.", hint="--reader snn-deploy")
    if file is not None:
        _file(file, reading, json)
        return
    assert reader is not None
    if reading.given():
        raise ConfigError(f"{', '.join(reading.given())}: of a --file, not of a reader.")
    if nir_compat not in {None, *COMPATIBLE}:
        raise ConfigError(f"'{nir_compat}' is no such version.", hint=" or ".join(COMPATIBLE))
    column = put_to(
        reader,
        python,
        step=step,
        nir_version=nir_compat,
        seconds=seconds,
        memory=memory * GIB,
        report=render.note,
    )
    wrong = column.count("wrong")
    if json:
        from dataclasses import asdict

        render.emit_json(asdict(column))
        raise typer.Exit(ParityError.exit_code if wrong else 0)
    _show(column)
    if wrong:
        raise ParityError(f"{column.reader} is wrong in {wrong} of {len(column.verdicts)} rows.")


def _show(column: Column) -> None:
    from snn_deploy.cli import render

    groups: dict[str, list[Verdict]] = {}
    for verdict in column.verdicts:
        groups.setdefault(verdict.group, []).append(verdict)
    rows = []
    for group, verdicts in groups.items():
        rows.append((f"-- {group}", "", ""))
        rows += [(verdict.name, verdict.mark, verdict.words) for verdict in verdicts]
    versions = ", ".join(f"{name} {number}" for name, number in column.versions.items())
    render.table(["row", "answer", "what it is like"], rows, title=f"{column.reader}: {versions}")
    render.say()
    counts = ", ".join(f"{column.count(mark)} {mark}" for mark in ("right", "wrong", "refuses"))
    render.say(f"{len(column.verdicts)} rows: {counts.replace('refuses', 'refused')}")
    if column.remark:
        render.say(column.remark)


def _file(file: Path, reading: Reading, json: bool) -> None:
    from dataclasses import asdict

    from snn_deploy.cli import render
    from snn_deploy.export.reading_proof import require_proven
    from snn_deploy.tasks.conform import conform_file

    proof = conform_file(file, reading)
    if json:
        render.emit_json(asdict(proof))
    else:
        render.say(require_proven(proof, file.name))
