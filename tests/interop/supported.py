"""The compatibility table, node x format x consumer: every cell is a file that was written and executed.

::

    yes     written, executed by the consumer, every output equal
    file    written; the consumer was not run, our simulator with its arithmetic gives equal outputs
    8 bit   written with 8-bit weights and executed
    no [n]  refused by the writer, for the reason n
    wrong   executed, but the outputs differ
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from support.node_cases import node_cases

from interop import exchange
from interop.exchange import HERE, Case, Outcome
from snn_deploy.core.errors import SnnDeployError
from snn_deploy.core.registry import BACKENDS, FORMATS
from snn_deploy.export.base import Calibration
from snn_deploy.graph.passes.for_readers.consumers import CONSUMERS
from snn_deploy.graph.semantics import read_semantics, write_semantics
from snn_deploy.simulate.onnx.models import INT8, MODELS
from snn_deploy.simulate.reference import Reference

FILE = Path(__file__).resolve().parents[2] / "export" / "SUPPORTED.md"
ONNX = tuple(f"onnx {name}" for name in MODELS if not name.endswith(INT8))
OURS = ("reference", *HERE, *ONNX, "lava")
"""Columns that need nothing but this environment."""

COLUMNS = ("reference", *(name for name in CONSUMERS), *ONNX, "lava")
Cells = dict[str, dict[str, Outcome]]


def cases(column: str = "reference") -> list[Case]:
    """The rows; for a reader with one kind of reset they have that one, except the rows about resets."""
    found = node_cases()
    resets = CONSUMERS[column].resets if column in CONSUMERS else ("zero", "subtract")
    for case in found:
        semantics = read_semantics(case.graph)
        if semantics.reset not in resets and not case.name.startswith("reset"):
            write_semantics(case.graph, semantics.stating(reset=resets[0]))
    return [Case(case.name, case.graph, case.x) for case in found]


def outcomes(columns: Sequence[str], root: Path, say: Callable[[str], None]) -> Cells:
    """Per column and row what came out."""
    found: Cells = {}
    for column in columns:
        rows = cases(column)
        say(f"{column}: {len(rows)} graphs")
        if column in CONSUMERS:
            found[column] = exchange.execute(rows, column, root, say)
        else:
            found[column] = {case.name: _own(case, column, root / "own" / column) for case in rows}
    return found


def _own(case: Case, column: str, folder: Path) -> Outcome:
    """A case written in one of our formats and executed by the backend that judges it."""
    name, _, model = column.partition(" ")
    format_name = {"reference": "nir"}.get(name, name)
    backend = {"reference": "reference", "onnx": "onnxruntime", "lava": "loihi"}[name]
    entry = FORMATS.get(format_name)
    options = {"models": (model,)} if name == "onnx" else {}
    options |= {"allow": ("reset-in-metadata",)} if name == "reference" else {}
    writer = entry.factory(entry.options(**options))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        written = writer.write(case.graph, folder, Calibration(case.x))
        path = folder / next(iter(written.files.values()))
        output = BACKENDS.get(backend).factory(path).run(case.x).output
    except SnnDeployError as error:
        return exchange.refusal(error)
    return Outcome("8 bit" if name == "lava" else "ran", output)


def mark(case: Case, outcome: Outcome) -> str:
    """The cell of an outcome, without the number of its reason."""
    if outcome.state in {"refused", "failed"}:
        return "no" if outcome.state == "refused" else "wrong"
    assert outcome.output is not None
    if outcome.state == "8 bit":
        return "8 bit"
    expected = Reference(case.graph).run(case.x).output
    same = outcome.output.shape == expected.shape and torch.allclose(outcome.output, expected, 1e-5, 1e-5)
    return {"ran": "yes", "written": "file"}[outcome.state] if same else "wrong"


def cells(found: Mapping[str, Mapping[str, Outcome]]) -> dict[str, dict[str, str]]:
    """Per row and column the mark."""
    columns = {
        column: {case.name: mark(case, outcome[case.name]) for case in cases(column)}
        for column, outcome in found.items()
    }
    return {case.name: {column: columns[column][case.name] for column in found} for case in cases()}


def rule_of(outcome: Outcome) -> str:
    """The rules that a refusal names, without the names of readers, so that equal reasons are one."""
    text = "; ".join(outcome.rules) or outcome.reason
    for facts in CONSUMERS.values():
        text = text.replace(facts.title, "the reader")
    return text


def markdown(found: Cells, versions: Mapping[str, str]) -> str:
    """The page ``export/SUPPORTED.md``."""
    marks, reasons = cells(found), []
    for row in marks.values():
        for column, cell in row.items():
            if cell == "no":
                reason = rule_of(found[column][_name(marks, row)])
                if reason not in reasons:
                    reasons.append(reason)
                row[column] = f"no [{reasons.index(reason) + 1}]"
    lines = [
        "# What goes where",
        "",
        "Written by `make interop`: one small graph per row, written for every column and executed there.",
        "",
        "* **yes**: every output equal",
        "* **8 bit**: written with 8-bit weights and executed; judged by our fixed-point simulator",
        "* **file**: written, and equal in our simulator with the reader's arithmetic; the reader itself",
        "  could not be installed",
        "* **no**: the writer refuses, for the reason below, rather than let the reader change it",
        "",
        "`reference` is `--to nir` read back by us; the columns of readers are `--to nir --for NAME`.",
        "Readers with one kind of reset are tried with that one, except in the rows about resets.",
        "",
        f"{datetime.date.today().isoformat()}; " + "; ".join(versions.values()) + ".",
        "",
        "| | " + " | ".join(COLUMNS) + " |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    lines += [
        f"| {name} | " + " | ".join(row[column] for column in COLUMNS) + " |" for name, row in marks.items()
    ]
    lines += ["", "Reasons:", ""]
    lines += [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join(lines) + "\n"


def _name(marks: Mapping[str, dict[str, str]], row: dict[str, str]) -> str:
    return next(name for name, found in marks.items() if found is row)


def read_table(text: str) -> dict[str, dict[str, str]]:
    """Per row and column the mark in a written page."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    header, _, *body = rows
    return {
        row[0]: {c: cell.partition(" [")[0] for c, cell in zip(header[1:], row[1:], strict=True)}
        for row in body
    }


def versions(root: Path) -> dict[str, str]:
    """What ran, per column."""
    found = {name: exchange.versions(name, root) for name in CONSUMERS}
    return {**found, "nir": f"nir {version('nir')}", "onnx": f"onnxruntime {version('onnxruntime')}"}
