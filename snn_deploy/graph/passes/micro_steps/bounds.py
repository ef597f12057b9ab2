r"""How far membranes of whole-number neurons can go, for whatever input, in T steps.

With integer weights W, bias b, inputs from 0 to h (of the network itself: from l to h), threshold
:math:`\theta`, most spikes D, and

.. math::
    P = \sum_j \max(W_j h_j, W_j l_j, 0), \qquad N = \sum_j \min(W_j h_j, W_j l_j, 0)

any part of the input of a step adds a sum in [N, P]. After a step the membrane is below
:math:`\theta / 2`, unless the neuron has fired D times, and then it is what is left:

.. math::
    c_0 = 0, \quad c_{t+1} = \max(\theta / 2, c_t + P + b - D \theta), \qquad
    f_0 = 0, \quad f_{t+1} = \min(0, f_t + N + b)

(membranes that fire at all end at :math:`-\theta / 2` or above). :math:`c_T + P` is what a closed gate has to
hold back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snn_deploy.graph.passes.to_chip.windows import FloatArray

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one population: the largest membrane while input comes, and the lowest at any time."""

    highest: float
    lowest: float


def bounds_of(
    weights: Mapping[str, FloatArray],
    ranges: Mapping[str, Range],
    bias: FloatArray,
    threshold: float,
    levels: int,
    steps: int,
) -> Bounds:
    """The bounds over all neurons; ``ranges`` of every source's values."""
    up = np.zeros_like(bias)
    down = np.zeros_like(bias)
    for source, weight in weights.items():
        low, high = ranges[source]
        ends = np.stack([weight * low, weight * high])
        up = up + np.maximum(ends.max(0), 0.0).sum(1)
        down = down + np.minimum(ends.min(0), 0.0).sum(1)
    carry, floor = np.zeros_like(bias), np.zeros_like(bias)
    for _ in range(steps):
        carry = np.maximum(threshold / 2, carry + up + bias - levels * threshold)
        floor = np.minimum(0.0, floor + down + bias)
    lowest = np.minimum(floor + down, -threshold / 2) + np.minimum(bias, 0.0)
    return Bounds(float((carry + up).max()), float(lowest.min()))
