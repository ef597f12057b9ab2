"""What every backend offers: run a network on spikes and record what each layer did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.core.errors import DataError
from snn_deploy.graph.types import Trace


@runtime_checkable
class Executable(Protocol):
    """A loaded network. State starts from zero at every call.

    ``layers`` names the spiking layers in execution order, with the node names of the hub graph.
    """

    @property
    def layers(self) -> tuple[str, ...]: ...

    def run(
        self,
        x: torch.Tensor,
        *,
        record: bool = False,
        forced: Mapping[str, torch.Tensor] | None = None,
    ) -> Trace:
        """Run ``x [T, B, *shape]``.

        With ``record`` the trace holds the output of every layer. With ``forced`` (layer name to
        ``[T, B, *shape]``) every layer still computes and records its own output, but the layers after it
        see the forced one: one run then judges each layer on the reference's own input.
        """


def require_shape(
    what: str, x: torch.Tensor, shape: tuple[int, ...], leading: tuple[int, ...], who: str
) -> None:
    """Refuse ``what`` unless it is ``[T, B, *shape]`` with at least one step and sample; ``leading`` states T
    and B where they are known, and ``who`` needs it.

    Raises:
        DataError: it has another shape.
    """
    expected = f"[{', '.join(map(str, leading or ('T', 'B')))}, {', '.join(map(str, shape))}]"
    fits = x.ndim == len(shape) + 2 and x.shape[2:] == shape and x.shape[0] > 0 and x.shape[1] > 0
    if not fits or (leading and x.shape[:2] != leading):
        raise DataError(f"The shape of {what} is {list(x.shape)}; {who} needs {expected}.")


def as_frames(
    what: str, x: torch.Tensor, shape: tuple[int, ...], *leading: int, who: str
) -> npt.NDArray[np.float32]:
    """``x`` as a float32 array for a runtime beside torch, after :func:`require_shape`."""
    require_shape(what, x, shape, leading, who)
    return np.ascontiguousarray(x.detach().cpu().numpy(), dtype=np.float32)
