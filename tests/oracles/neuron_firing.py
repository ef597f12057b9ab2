"""Brute force: one neuron that adds its input, step by step in plain Python floats, with every reset.

Written from what the frameworks do, in their own order of operations; shares no code with the package.
"""

from __future__ import annotations

import math


def above(v: float, threshold: float, strict: bool) -> bool:
    return v > threshold if strict else v >= threshold


def fire(
    xs: list[float],
    *,
    reset: str,
    threshold: float,
    v_reset: float,
    beta: float,
    strict: bool,
    many: bool = False,
    levels: int | None = None,
    v_min: float | None = None,
) -> tuple[list[float], list[float]]:
    """Spikes and membranes after each step of ``v := beta v + x`` from v_reset; ``levels``: rounded."""
    v, spikes, membranes = v_reset, [], []
    for x in xs:
        was_above = above(v, threshold, strict)
        h = beta * v + x
        if reset == "zero-next" and was_above:
            h = v_reset  # snnTorch: mem - reset * mem, the input of this step included
        if reset == "subtract-next" and was_above:
            h -= threshold - v_reset
        bar = threshold
        if reset == "subtract-raised" and was_above:
            bar += threshold - v_reset
        if levels is not None:
            count = sum(above(h, (k - 0.5) * threshold, strict) for k in range(1, levels + 1))
        elif many:
            count = 0
            while above(h, (count + 1) * threshold, strict):
                count += 1
        else:
            count = int(above(h, bar, strict))
        if reset in {"subtract", "subtract-raised"}:
            h -= count * (threshold - v_reset)
        if reset == "zero" and count:
            h = v_reset
        v = h if v_min is None else max(h, v_min)
        assert math.isfinite(v)
        spikes.append(float(count))
        membranes.append(v)
    return spikes, membranes
