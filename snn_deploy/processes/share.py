"""What one process holds of a batch at a moment, and what it must know of the rest.

A batch of ``n`` samples is divided among the processes, and by each into parts that go through the network
one after the other (gradient accumulation). Random numbers are drawn for the whole batch everywhere and each
takes its own, so that a sample gets the same ones however the batch is divided.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed

from snn_deploy.processes.world import ALONE, World


@dataclass(frozen=True, slots=True)
class Share:
    """Samples ``start`` to ``stop - 1`` of a batch of ``total``; ``world`` holds the batch together."""

    start: int
    stop: int
    total: int
    world: World = ALONE

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def part(self) -> float:
        """``len / total``: what the mean over these samples counts in the mean over the batch."""
        return len(self) / self.total

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        """Mean over the batch, of the mean ``x`` over these samples; constant."""
        return x if self.world.size == 1 else self.world.sum(x.detach() * self.part)

    def max(self, x: torch.Tensor) -> torch.Tensor:
        """Largest over the batch, of the largest ``x`` over these samples; constant."""
        return self.world.max(x)

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        """``x [B, ...]`` of the whole batch, in its order; gradients go back to where samples came from."""
        if self.world.size == 1:
            return x
        whole: torch.Tensor = _Gather.apply(x, self)  # type: ignore[no-untyped-call]
        return whole

    def add(self, x: torch.Tensor) -> torch.Tensor:
        """Sum of ``x`` over the processes; its gradient is the sum of their gradients."""
        if self.world.size == 1:
            return x
        total: torch.Tensor = _Add.apply(x)  # type: ignore[no-untyped-call]
        return total


class BatchGenerator(torch.Generator):
    """A random number generator that knows for which ``share`` of a batch it draws, and of the batch for
    which ``positions``: those of the share, unless others are mixed into it."""

    share: Share | None = None
    positions: torch.Tensor | None = None

    def draw_for(self, share: Share, positions: torch.Tensor | None = None) -> None:
        """From now on draw for these samples."""
        self.share, self.positions = share, positions


def drawn(
    generator: torch.Generator, batch: int, draw: Callable[[int], torch.Tensor], axis: int = 0
) -> torch.Tensor:
    """Random numbers for ``batch`` samples: ``draw(n)`` makes those of ``n`` samples along ``axis``.

    With a :class:`BatchGenerator`, ``n`` is the number of samples of the whole batch, and the numbers of its
    positions are returned.
    """
    if not isinstance(generator, BatchGenerator) or generator.share is None:
        return draw(batch)
    share, positions = generator.share, generator.positions
    own = len(share) if positions is None else len(positions)
    if own != batch:
        raise ValueError(f"random numbers for {batch} samples are wanted of a generator for {own}")
    numbers = draw(share.total)
    if positions is None:
        return numbers.narrow(axis, share.start, own)
    return numbers.index_select(axis, positions.to(numbers.device))


def share_of(generator: torch.Generator) -> Share | None:
    """The share for which ``generator`` draws; None for the whole of any batch."""
    return getattr(generator, "share", None)


def divide(total: int, parts: int, world: World) -> list[Share]:
    """The parts of a batch of ``total`` samples that this process takes, ``parts`` of them, fewer when there
    are not as many samples. Sizes differ by at most one; a batch with fewer samples than there are
    processes is not divided among them: each takes all of it.
    """
    if total < world.size:
        world = ALONE
    first, end = total * world.rank // world.size, total * (world.rank + 1) // world.size
    parts = min(parts, total // world.size)
    edges = [first + (end - first) * part // parts for part in range(parts + 1)]
    return [Share(a, b, total, world) for a, b in itertools.pairwise(edges)]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, share: Share) -> torch.Tensor:
        ctx.share = share
        whole = x.new_zeros((share.total, *x.shape[1:]))
        whole[share.start : share.stop] = x
        distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total[ctx.share.start : ctx.share.stop], None


class _Add(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total
