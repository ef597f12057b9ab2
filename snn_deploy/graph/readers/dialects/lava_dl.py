"""lava-dl 0.6: the neurons of its ``slayer.block.cuba`` and ``sigma_delta`` free of rounding, written as NIR.

i = (1 - du) i + x, h = (1 - dv) v + i, a spike where h >= threshold, then a reset to zero: forward Euler with
gains of one, which say the step. No release of lava-dl writes NIR; its own files, ``.net``, are opened
without a writer being named. Source: lava-dl 0.6 ``slayer/neuron/cuba.py``, ``slayer/spike/spike.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

import nir

from snn_deploy.graph.readers.dialects.dialect import Dialect, Meaning
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.timing import Reading


def read(_graph: nir.NIRGraph, reading: Reading, _shapes: Mapping[str, Shape]) -> Meaning:
    """See the module's text."""
    return Meaning("euler", ">=", "zero", reading.dt)


LAVA_DL = Dialect("lava-dl 0.6", read, takes=("dt",))
