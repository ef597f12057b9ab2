"""Parts of a compiled loop on as many threads as torch may use."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch

SHARE = 1 << 22
"""Operations that are worth a thread, about half a millisecond; measured."""


def in_parts(total: int, work: int, run: Callable[[int, int], None]) -> None:
    """Call ``run(begin, end)`` on parts of ``range(total)``, of ``work`` operations, side by side."""
    threads = max(1, min(torch.get_num_threads(), work // SHARE, total))
    bounds = [total * part // threads for part in range(threads + 1)]
    *others, (begin, end) = pairwise(bounds)
    if not others:
        run(begin, end)
        return
    with ThreadPoolExecutor(len(others)) as pool:
        waiting = [pool.submit(run, *part) for part in others]
        run(begin, end)
        for part in waiting:
            part.result()
