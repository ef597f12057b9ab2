"""The matrix of several readers as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snn_deploy.conformance.golden_structure import golden_set
from snn_deploy.conformance.matrix import Column
from snn_deploy.core.text import markdown

HEAD = """# Who reads what

Written by `make interop`: small graphs with known answers, one trait each, put to every reader's own
importer ([how](../docs/conformance.md)). A column is made by
`snn-deploy conform --reader NAME --python ENVIRONMENT/bin/python`.

* **right**: every value equal, in the reader's own way of making a step (exponential ways are named)
* **wrong**: executed without complaint, but not as the file says; the number says like what
* **refuses**: an error instead of an answer
"""


def page(columns: Sequence[Column], date: str) -> str:
    """The matrix with its notes, and what ran on ``date``."""
    notes: list[str] = []
    names = [column.reader for column in columns]
    lines = [HEAD, f"{date}; " + "; ".join(_ran(column) for column in columns) + ".", ""]
    lines += ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    found = [{verdict.name: verdict for verdict in column.verdicts} for column in columns]
    for row in golden_set():
        cells = [_cell(verdicts[row.name].mark, verdicts[row.name].cause, notes) for verdicts in found]
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    totals = [f"{column.count('right')} of {len(column.verdicts)}" for column in columns]
    lines += ["| **right** | " + " | ".join(totals) + " |", "", "Of the readers:", ""]
    lines += [f"* {column.reader}: {column.remark}" for column in columns if column.remark]
    lines += ["", "Of the cells:", ""]
    lines += [f"{number}. {markdown(note)}" for number, note in enumerate(notes, 1)]
    return "\n".join(lines) + "\n"


def _ran(column: Column) -> str:
    return f"{column.reader} ({', '.join(f'{name} {number}' for name, number in column.versions.items())})"


def _cell(mark: str, cause: str, notes: list[str]) -> str:
    shown = f"**{mark}**" if mark == "wrong" else mark
    if not cause:
        return shown
    if cause not in notes:
        notes.append(cause)
    return f"{shown} [{notes.index(cause) + 1}]"


def read_page(text: str) -> Mapping[str, dict[str, str]]:
    """Per reader and row the mark in a written page."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    (_, *readers), _, *body = rows
    return {
        reader: {row[0]: row[place].partition(" [")[0].strip("*") for row in body[:-1]}
        for place, reader in enumerate(readers, 1)
    }
