"""One training step up to the gradients, divided among processes and into parts.

Of a batch of ``n`` samples a share holds ``m``. Losses are means over samples, so that with ``W`` processes a
share's gradient counts ``m W / n`` before the mean over processes is taken: what comes out is the gradient of
the mean over the batch, however it is divided, also into unequal shares.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from snn_deploy.data.loading.seeds import derived_seed
from snn_deploy.distill.batches import Batches
from snn_deploy.distill.methods.losses import class_numbers
from snn_deploy.distill.methods.method import Terms
from snn_deploy.distill.objective import Objective
from snn_deploy.distill.sync_norm import synchronize
from snn_deploy.processes.share import BatchGenerator, Share, divide
from snn_deploy.processes.world import World
from snn_deploy.recipes.recipe import TrainSpec

_NEW = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
_OWN_BUFFERS: dict[str, Any] = {"forward_sync_buffers" if _NEW else "broadcast_buffers": False}
"""Statistics of batch norm are levelled by the trainer, before they are used. The option was renamed."""


class Outcome(NamedTuple):
    """Of one step: names of the ``terms``, and what this process adds to the loss of the batch, to each term
    and to the hits, as one vector on the device."""

    terms: tuple[str, ...]
    values: torch.Tensor


class _Losses(nn.Module):
    """The objective's losses as a module, which is what gradients are averaged for."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.network = objective.network
        self.helpers = objective.helpers
        self._objective = objective

    def forward(
        self,
        inputs: Mapping[int, torch.Tensor],
        labels: torch.Tensor,
        generator: torch.Generator,
        known: torch.Tensor | None,
    ) -> tuple[Terms, torch.Tensor]:
        return self._objective.losses(inputs, labels, generator, known)


class GradientStep:
    """Leaves the gradients of a batch in the objective's parameters.

    Args:
        objective: what is trained; its modules are on ``device``.
        batches: what it is trained on.
        spec: how.
        device: where.
        world: the processes that share each batch.
        seed: of the method and, with several processes, of dropout.
        known: logits ``[N, K]`` of the teacher for every training sample, where they are known.
    """

    def __init__(
        self,
        objective: Objective,
        batches: Batches,
        spec: TrainSpec,
        device: torch.device,
        world: World,
        seed: int,
        known: torch.Tensor | None = None,
    ) -> None:
        self._batches, self._parts = batches, spec.accumulate
        self._device, self._world, self._seed = device, world, seed
        self._bf16 = uses_bfloat16(spec, device)
        self.generator = BatchGenerator(device)
        self.generator.manual_seed(derived_seed("method", seed))
        torch.manual_seed(derived_seed("dropout", seed))
        self._known = known
        self._channels_last = spec.channels_last == "on" or (spec.channels_last == "auto" and self._bf16)
        if self._channels_last:
            use_channels_last(objective)
        self._losses: nn.Module = _Losses(objective)
        if world.size > 1:
            if spec.sync_batch_norm:
                synchronize(objective.network, lambda: self.generator.share)
            self._losses = DistributedDataParallel(self._losses, **_OWN_BUFFERS)

    def __call__(self, number: int, epoch: int, indices: torch.Tensor) -> Outcome:
        """The gradients of step ``number`` (both from 0) on the samples ``indices`` of the whole batch."""
        if self._world.size > 1:  # other masks in every process, and nothing to keep in a checkpoint
            torch.manual_seed(derived_seed("dropout", self._seed, number, self._world.rank))
        shares = divide(len(indices), self._parts, self._world)
        before = self._batches.state_dict(), self.generator.get_state()
        total: Outcome | None = None
        for place, share in enumerate(shares):
            self._batches.load_state_dict(before[0])
            self.generator.set_state(before[1])
            with self._silent(last=place == len(shares) - 1):
                part = self._part(indices, epoch, share)
            total = part if total is None else Outcome(part.terms, total.values + part.values)
        assert total is not None
        return total

    def _part(self, indices: torch.Tensor, epoch: int, share: Share) -> Outcome:
        self.generator.draw_for(share)
        inputs, labels = self._batches.make(indices, epoch, share)
        if self._channels_last:
            inputs = {steps: channels_last(x) for steps, x in inputs.items()}
        known = None if self._known is None else self._known[indices[share.start : share.stop]]
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            terms, scores = self._losses(inputs, labels, self.generator, known)
        loss = torch.stack(list(terms.values())).sum()
        (loss * (share.part * share.world.size)).backward()  # type: ignore[no-untyped-call]
        counted = share.world.size > 1 or self._world.first
        hits = (scores.argmax(1) == class_numbers(labels)).sum()
        values = torch.stack([loss, *terms.values()]).detach() * (share.part * counted)
        return Outcome(tuple(terms), torch.cat([values, (hits * counted).view(1)]))

    def _silent(self, *, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Exchange gradients only after the last part."""
        if last or not isinstance(self._losses, DistributedDataParallel):
            return contextlib.nullcontext()
        return self._losses.no_sync()


def uses_bfloat16(spec: TrainSpec, device: torch.device) -> bool:
    """Whether layers with weights compute in bfloat16."""
    automatic = device.type == "cuda" and spec.amp == "auto" and torch.cuda.is_bf16_supported()
    return spec.amp == "on" or automatic


def use_channels_last(objective: Objective) -> None:
    """Lay out the weights of the objective's networks for inputs whose channels come last in memory."""
    for network in objective.networks:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """``x [T, B, C, H, W]`` with the channels last in memory, step by step."""
    folded = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return folded.view(x.shape[0], -1, *folded.shape[1:])
