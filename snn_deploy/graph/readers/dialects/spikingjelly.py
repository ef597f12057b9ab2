"""SpikingJelly 2.0: ``nir_exchange`` writes forward Euler, spikes at v >= threshold, resets to v_reset.

The step is an argument of its exporter, 1e-4 s by default; the gains of its neurons mostly say it
(:mod:`snn_deploy.graph.timing`). It refuses soft resets. Source: spikingjelly 2.0
``activation_based/nir_exchange/to_nir.py``.
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


SPIKINGJELLY = Dialect("SpikingJelly 2.0", read, takes=("dt",))
