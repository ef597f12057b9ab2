"""What is said of recordings: damage, what was left out, what became of their time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.data.events.timeline import GAP, JITTER
from snn_deploy.data.formats.layout import HOW

TIMES = ("late", "restarts", "gaps", "events", "outside")
"""What is counted of the time of all recordings: late events, clocks set back, steps forward of 10 s; events
of the samples, and those of them that lie in no frame."""

_SHOWN = 20


def damage(problems: Sequence[Problem], total: int, where: str, *, unknown: bool = False) -> DataError:
    """The error that names the damaged recordings of ``where``, the first 20 of them."""
    more = f" The first {_SHOWN} are:" if len(problems) > _SHOWN else ""
    if unknown:
        return DataError(
            f"{len(problems)} of {total} recordings in '{where}' are of an unknown layout, or damaged.{more}",
            hint=HOW,
            problems=problems[:_SHOWN],
        )
    return DataError(
        f"{len(problems)} of {total} recordings in '{where}' are damaged.{more}",
        hint="Extract the archives again, delete these files, or leave them out: -o data.skip_damaged=true",
        problems=problems[:_SHOWN],
    )


def skip_note(names: Sequence[str], total: int) -> Iterator[str]:
    """What was left out because it is damaged."""
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        first = ", ".join(names[:_SHOWN])
        yield f"{len(names)} of {total} recordings are damaged and left out: {first}{more}."


def time_notes(counted: torch.Tensor) -> Iterator[str]:
    """What became of the time of recordings, from the numbers of :data:`TIMES`."""
    late, restarts, gaps, events, outside = counted.tolist()
    if late:
        yield f"{late:,} events came up to {JITTER} us late and were moved to their place."
    if restarts:
        yield f"The clock was set back {_times(restarts)} and goes on there (data.clock: continue)."
    if gaps:
        yield f"The clock steps forward by more than {GAP // 1_000_000} s {_times(gaps)}."
    yield from outside_note(outside, events)


def outside_note(outside: int, events: int) -> Iterator[str]:
    """How many of the events lie in no frame."""
    if outside:
        yield f"{outside:,} of {events:,} events lie outside of the frames and are left out."


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
