"""One seed becomes many streams of random numbers that do not disturb each other."""

from __future__ import annotations

import hashlib


def derived_seed(purpose: str, *numbers: int) -> int:
    """A seed for one ``purpose``: 63 bits of the SHA-256 of the purpose and the ``numbers``."""
    content = " ".join([purpose, *map(str, numbers)]).encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little") >> 1
