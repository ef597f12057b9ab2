"""Names and texts of strangers as they may stand in C source."""

from __future__ import annotations

import re
from collections.abc import Sequence


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
