"""What rounding in float32 can do to values that are computed in float64: for run_nir.py."""

import numpy as np

UNIT = 2.0**-24


def grid(x):
    """The largest power of two that divides all of `x`; infinite for zeros."""
    mantissa, exponent = np.frexp(x[x != 0])
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    return np.ldexp((whole & -whole).astype(float), exponent - 53).min(initial=np.inf)


def rounds(count, parts, also=()):
    """`count` roundings of all `parts`; none where these, and `also`, are float32 numbers."""
    single = np.logical_and.reduce(np.broadcast_arrays(*(np.float32(v) == v for v in (*parts, *also))))
    return ~single * count * UNIT * sum(np.abs(part) for part in parts)


def bound(size, terms, quantum):
    """What rounding can do to sums of `terms` of total `size`, all multiples of `quantum`."""
    return np.where(size <= quantum / UNIT, 0.0, terms * UNIT * size)
