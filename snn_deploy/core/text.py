"""Text of strangers made harmless where people and spreadsheets read it."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable, Sequence

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""What moves a cursor, turns the direction of writing, shows nothing, or is half of a character; but not line
break and tab."""

_BREAKS = {"\n": "\\n", "\t": "\\t"}
_FORMULA = re.compile(r"[=+\-@\t\r]")


_RUNTIMES = {"loihi": "our simulator", "reference": "our reference"}


def runtime_name(runtime: str) -> str:
    """What people read for a runtime: whose simulator it is, beside Lava's."""
    return _RUNTIMES.get(runtime, runtime)


def proof_name(file_format: str, runtime: str) -> str:
    """What people read for a proof: which file ran in which runtime."""
    return f"{file_format} in {runtime_name(runtime)}"


def visible(text: str, *, one_line: bool = False) -> str:
    """``text`` with control characters as their escapes, such as ``\\x1b``; with ``one_line`` line breaks and
    tabs too."""
    if one_line:
        for character, escape in _BREAKS.items():
            text = text.replace(character, escape)
    return text if text.isascii() and text.isprintable() else _CONTROL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def markdown(text: str) -> str:
    """``text`` without any meaning in Markdown or HTML; line breaks become spaces."""
    plain = html.escape(visible(" ".join(text.split())), quote=False)
    return re.sub(r"([\\`*_{}\[\]|#~!])", r"\\\1", plain)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV, of numbers and of text that no spreadsheet takes for a formula.

    Text that begins with ``=``, ``+``, ``-``, ``@``, tab or carriage return has a ``'`` before it (OWASP, CSV
    Injection).
    """
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(columns)
    table.writerows([_cell(cell) for cell in row] for row in rows)
    return stream.getvalue()


def _cell(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    return ("'" if _FORMULA.match(cell) else "") + visible(cell, one_line=True)
