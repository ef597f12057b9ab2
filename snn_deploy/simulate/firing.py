"""Spikes and resets of one layer, on its membrane in place; see :mod:`snn_deploy.graph.semantics`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.graph.dynamics import Fire

Parameter = float | torch.Tensor
Prepare = Callable[[npt.NDArray[np.float64] | None], Parameter | None]


class Firing:
    """The spike rule and reset ``fire`` with its parameters on one device in one precision.

    A step is :meth:`owed` on the membrane before its input, then :meth:`fire` on the membrane after it.
    """

    def __init__(self, fire: Fire, prepare: Prepare) -> None:
        threshold, drop = prepare(fire.threshold), prepare(fire.threshold - fire.v_reset)
        assert threshold is not None
        assert drop is not None
        self._threshold, self._drop = threshold, drop
        self._v_reset = prepare(fire.v_reset) if fire.v_reset.any() else None
        self._compare = torch.gt if fire.fires_at == ">" else torch.ge
        self._strict = fire.fires_at == ">"
        self._reset, self._several, self._v_min = fire.reset, fire.several, fire.v_min
        self._rounds, self._levels = fire.spikes == "rounded", fire.levels
        self._late = fire.reset in {"zero-next", "subtract-next", "subtract-raised"}

    def owed(self, v: torch.Tensor, spikes: torch.Tensor | None = None) -> torch.Tensor | None:
        """Where the membrane ``v`` of the step before still has to be reset; None where resets are not late.

        ``spikes``: those of the step before, where others than those of ``v`` decide.
        """
        if not self._late:
            return None
        if spikes is not None and self._reset != "subtract-raised":
            return spikes
        return self._compare(v, self._threshold, out=torch.empty_like(v))

    def fire(self, v: torch.Tensor, owed: torch.Tensor | None, y: torch.Tensor) -> None:
        """Write the spikes of the charged membrane ``v`` into ``y`` and reset ``v``."""
        self._reset_late(v, owed)
        self._spikes(self._deciding(v, owed), y)
        self._reset_now(v, y)

    def undergo(self, v: torch.Tensor, owed: torch.Tensor | None, spikes: torch.Tensor) -> torch.Tensor:
        """What the charged membrane ``v`` compares with its threshold; then ``v`` is reset by ``spikes``.

        With several spikes per step it is moved by whole thresholds, so that its distance from the threshold
        is that from the nearest number of spikes.
        """
        self._reset_late(v, owed)
        deciding = self._deciding(v, owed).clone()
        if self._several:
            half = 0.5 if self._rounds else 0.0
            nearest = (deciding / self._threshold + half).round().clamp(1, self._levels)
            deciding -= self._threshold * (nearest - half - 1)
        self._reset_now(v, spikes)
        return deciding

    def _reset_late(self, v: torch.Tensor, owed: torch.Tensor | None) -> None:
        if owed is None:
            return
        if self._reset == "zero-next":
            self._to_v_reset(v, owed)
        elif self._reset == "subtract-next":
            _add_product(v, owed, self._drop, -1.0)

    def _deciding(self, v: torch.Tensor, owed: torch.Tensor | None) -> torch.Tensor:
        return v - owed * self._drop if owed is not None and self._reset == "subtract-raised" else v

    def _spikes(self, h: torch.Tensor, y: torch.Tensor) -> None:
        if not self._several:
            self._compare(h, self._threshold, out=y)
            return
        torch.div(h, self._threshold, out=y)
        if self._rounds:
            y.add_(0.5)
        if self._strict:
            y.ceil_().sub_(1.0)
        else:
            y.floor_()
        y.clamp_(min=0.0, max=self._levels)

    def _reset_now(self, v: torch.Tensor, spikes: torch.Tensor) -> None:
        if self._reset in {"subtract", "subtract-raised"}:
            _add_product(v, spikes, self._drop, -1.0)
        elif self._reset == "zero":
            self._to_v_reset(v, spikes.clamp(max=1.0) if self._several else spikes)
        if self._v_min is not None:
            v.clamp_(min=self._v_min)

    def _to_v_reset(self, v: torch.Tensor, where: torch.Tensor) -> None:
        torch.addcmul(v, v, where, value=-1.0, out=v)
        if self._v_reset is not None:
            _add_product(v, where, self._v_reset, 1.0)


def _add_product(v: torch.Tensor, a: torch.Tensor, b: Parameter, sign: float) -> None:
    """``v += sign a b`` in place."""
    if isinstance(b, torch.Tensor):
        v.addcmul_(a, b.expand_as(a), value=sign)
    else:
        v.add_(a, alpha=sign * b)
