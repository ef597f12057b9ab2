r"""An analogue network that learns to say what another one says, without labels.

For logits z of the network and u of the other, frozen one on the same augmented samples,

.. math::
    L = \tau^2 \, \mathrm{KL}(\sigma(u / \tau) \,\|\, \sigma(z / \tau))

(Hinton et al. 2015). Samples are still images: of the frames of a sample the first one is seen.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from snn_deploy.distill.methods.losses import divergence
from snn_deploy.distill.methods.method import Terms


class ImitationObjective:
    """See the module's text; ``timesteps`` is the number of frames of a sample."""

    def __init__(self, network: nn.Module, other: nn.Module, timesteps: int, tau: float) -> None:
        self.network = network
        self.networks: tuple[nn.Module, ...] = (network, other)
        self.helpers: nn.Module = nn.ModuleList()
        self.passes: tuple[int, ...] = (timesteps,)
        self._other = other.eval().requires_grad_(False)
        self._tau = tau

    def losses(
        self,
        inputs: Mapping[int, torch.Tensor],
        labels: torch.Tensor,
        generator: torch.Generator,
        known: torch.Tensor | None = None,
    ) -> tuple[Terms, torch.Tensor]:
        """``kl``."""
        x = inputs[self.passes[0]]
        with torch.no_grad():
            said = self._other(x[0])
        logits = self.predict(x)
        return {"kl": self._tau**2 * divergence(said, logits, self._tau)}, logits

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the first frame."""
        logits: torch.Tensor = self.network(x[0])
        return logits
