"""Work on many samples in chunks that fit the memory, smaller ones when an allocation fails.

    size = samples_at_once(bytes_per_sample)
    for part, result in in_chunks(total, size, lambda part: run(x[:, part])):
        ...

Whoever computes gives what one sample takes (:func:`snn_deploy.simulate.footprint.trace_bytes` knows it of a
recorded run) and results whose sum does not depend on where they are cut.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

from snn_deploy.core.errors import OutOfMemoryError
from snn_deploy.core.memory import BUDGET_VARIABLE, budget, free

ALLOCATION_FAILURES = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "Failed to allocate memory",
    "bad_alloc",
)
"""What torch (CPU, CUDA) and ONNX Runtime write into errors of their own kinds when memory ends."""

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


def samples_at_once(bytes_per_sample: float, at_most: int | None = None) -> int:
    """Samples that :func:`snn_deploy.core.memory.budget` has room for: at least 1, at most ``at_most``."""
    fitting = max(1, int(budget() // max(bytes_per_sample, 1)))
    return fitting if at_most is None else min(fitting, at_most)


def in_chunks(total: int, size: int, compute: Callable[[slice], Result]) -> Iterator[tuple[slice, Result]]:
    """``compute`` on successive parts of ``range(total)``, of at most ``size`` elements, with its results.

    When memory ends, the part is halved and tried again, and later parts stay as small.

    Raises:
        OutOfMemoryError: memory does not even suffice for a single element.
    """
    begin = 0
    while begin < total:
        part = slice(begin, min(begin + size, total))
        try:
            result = compute(part)
        except Exception as error:
            if not is_allocation_failure(error):
                raise
            if part.stop - begin == 1:
                raise _out_of_memory(error) from error
            size = (part.stop - begin + 1) // 2
            _log.info("memory ended on %d samples at once; going on with %d", part.stop - begin, size)
            continue
        yield part, result
        del result  # so that the next part finds this one's memory
        begin = part.stop


def is_allocation_failure(error: BaseException) -> bool:
    """Whether ``error`` says that memory ended, in the words of Python, NumPy, torch or ONNX Runtime."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in ALLOCATION_FAILURES)


def _out_of_memory(error: Exception) -> OutOfMemoryError:
    said = str(error).strip().splitlines()
    return OutOfMemoryError(
        f"Memory ends on a single sample: {said[0] if said else type(error).__name__}",
        hint=f"{free() >> 20} MiB are free. Use fewer time steps, close other programs, or raise the limit "
        f"of memory; ${BUDGET_VARIABLE} (MiB) sets what is planned for.",
    )
