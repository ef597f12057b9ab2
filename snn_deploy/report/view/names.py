"""Short labels for charts; tables and titles keep the full names."""

from __future__ import annotations

from collections.abc import Sequence


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Module paths without the leading and trailing parts that all of ``names`` share.

    ``a.block1.neuron`` and ``a.block2.neuron`` become ``block1`` and ``block2``. Names stay whole where there
    is only one, or where two would become equal.
    """
    parts = [name.split(".") for name in names]
    if len(parts) < 2:
        return {name: name for name in names}
    shortest = min(len(p) for p in parts)
    head = next((i for i in range(shortest) if len({p[i] for p in parts}) > 1), shortest)
    tail = next((i for i in range(shortest - head) if len({p[-1 - i] for p in parts}) > 1), shortest - head)
    short = [".".join(p[head : len(p) - tail]) or name for name, p in zip(names, parts, strict=True)]
    return dict(zip(names, short if len(set(short)) == len(set(names)) else names, strict=True))
