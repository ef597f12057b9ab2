r"""Neurons of the hub whose input enters whole, given by the share of a state that they keep in a step.

With decays beta of the membrane and alpha of the current, m = 1 / (1 - beta) and s = 1 / (1 - alpha) are
time constants in steps:

======== ================================== ================================================
LIF      v = beta v + x                     tau = m dt, r = m
CUBA-LIF i = alpha i + x, v = beta v + i    tau_syn = s dt, w_in = s, tau_mem = m dt, r = m
======== ================================== ================================================

snnTorch, Spyx and SpikingJelly have them, as modules and in files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def lif(m: Array, dt: float, v_leak: Any, fire: Mapping[str, Any]) -> nir.LIF:
    """``v = beta v + x``; ``fire``: v_threshold and v_reset."""
    return nir.LIF(tau=m * dt, r=m, v_leak=v_leak, **fire)


def cuba_lif(s: Array, m: Array, dt: float, v_leak: Any, fire: Mapping[str, Any]) -> nir.CubaLIF:
    """``i = alpha i + x, v = beta v + i``; ``fire``: v_threshold and v_reset."""
    return nir.CubaLIF(tau_syn=s * dt, tau_mem=m * dt, r=m, v_leak=v_leak, w_in=s, **fire)
