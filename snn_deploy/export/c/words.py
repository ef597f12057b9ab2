"""The text of C source: templates, and names and texts of strangers as they may stand in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


def identifiers(names: Sequence[str]) -> list[str]:
    """A C identifier for every name, different ones for different names."""
    found: list[str] = []
    for name in names:
        word = re.sub(r"[^0-9A-Za-z_]", "_", name).strip("_").lower() or "layer"
        if word[0].isdigit():
            word = f"layer_{word}"
        candidate, number = word[:40], 2
        while candidate in found:
            candidate, number = f"{word[:40]}_{number}", number + 1
        found.append(candidate)
    return found


def comment(text: str) -> str:
    """``text`` as it may stand in a C comment or string: printable ASCII that ends or opens neither."""
    plain = re.sub(r"[^ -~]", "?", text)
    return re.sub(r"\*/|/\*|\?\?|[\\\"%]", "?", plain)[:80]


def size(shape: tuple[int, ...]) -> str:
    """``2x16x16``."""
    return "x".join(str(n) for n in shape)


def rendered(package: str, template: str, **values: object) -> str:
    """The text of a C ``template`` of ``package``, without runs of empty lines."""
    text = _templates(package).get_template(template).render(values)
    return re.sub(r"\n{3,}", "\n\n", text)


@cache
def _templates(package: str) -> Environment:
    return Environment(
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - the text is C; names enter it through `comment` and `identifiers`
    )
