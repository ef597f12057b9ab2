"""Recordings of Prophesee's cameras, written word by word and independently of the readers."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

Event = tuple[int, int, int, int]

HEADER = "% date 2024-01-01 00:00:00\n% {}\n% end\n"


def evt2(events: Iterable[Event], header: str = "evt 2.0") -> bytes:
    """EVT 2.0: the upper 28 bits of the time when they change; a trigger word in between."""
    words, high = [], None
    for x, y, t, p in events:
        if t >> 6 != high:
            high = t >> 6
            words += [8 << 28 | high % (1 << 28), 10 << 28 | 5]
        words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
    return HEADER.format(header).encode() + struct.pack(f"<{len(words)}I", *words)


def evt3(events: Sequence[Event], header: str = "evt 3.0", *, trigger: bool = True) -> bytes:
    """EVT 3.0: single events, and vectors where neighbours of a row, time and polarity follow each other."""
    words: list[int] = [0xA << 12 | 3] * trigger
    state: dict[str, int | None] = {"y": None, "low": None, "high": None}

    def say(kind: int, name: str, value: int) -> None:
        if state[name] != value:
            state[name] = value
            words.append(kind << 12 | value % 4096)
            if name == "high":
                state["low"] = None

    at = 0
    while at < len(events):
        x, y, t, p = events[at]
        run = [x]
        while at + len(run) < len(events):
            after = events[at + len(run)]
            if after[1:] != (y, t, p) or not run[-1] < after[0] < x + 20:
                break
            run.append(after[0])
        say(8, "high", t >> 12)
        say(6, "low", t & 0xFFF)
        say(0, "y", y)
        if len(run) == 1:
            words.append(2 << 12 | p << 11 | x)
        else:
            mask = sum(1 << place - x for place in run)
            words += [3 << 12 | p << 11 | x, 4 << 12 | mask & 0xFFF, 5 << 12 | mask >> 12]
        at += len(run)
    return HEADER.format(header).encode() + struct.pack(f"<{len(words)}H", *words)


def dat(events: Iterable[Event]) -> bytes:
    """DAT version 2."""
    body = b"".join(struct.pack("<II", t % (1 << 32), p << 28 | y << 14 | x) for x, y, t, p in events)
    return b"% Data file containing CD events.\n% Version 2\n" + bytes([0, 8]) + body
