"""The order in which samples are seen: in training, and where each is looked at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from snn_deploy.core.errors import DataError
from snn_deploy.data.loading.seeds import derived_seed
from snn_deploy.data.types import Split, expect
from snn_deploy.processes.world import World


def in_order(split: Split, batch_size: int, world: World) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Every ``size``-th batch of all samples of ``split`` in their order, those of this process of ``world``:
    indices and inputs. While one is used the next one is expected."""
    places = torch.arange(len(split), device=split.labels.device)
    batches = torch.split(places, batch_size)[world.rank :: world.size]
    for number, indices in enumerate(batches):
        expect(split, *batches[number : number + 2])
        yield indices, split.batch(indices)


class BatchOrder:
    """Shuffled batches of sample indices, the same for the same seed, that can stop and go on anywhere.

    Iterating gives what is left of the current epoch, then the next epoch begins. The order of epoch ``e``
    is a random permutation drawn from a generator seeded with a hash of ``(seed, e)``, so it depends on
    nothing that ran before, and the state is five integers. A batch counts as used once it was handed
    out: a state taken while it is being trained on continues with the batch after it.

    Args:
        samples: number of samples; every epoch visits each once.
        batch_size: samples per batch; the last batch of an epoch holds what is left.
        seed: chooses the orders.
        device: where batches are handed out; each order is sent there once.
    """

    def __init__(self, samples: int, batch_size: int, seed: int, device: torch.device | str = "cpu") -> None:
        if samples < 1 or batch_size < 1:
            raise ValueError(f"cannot make batches of {batch_size} from {samples} samples")
        self._samples = samples
        self._batch_size = batch_size
        self._seed = seed
        self._device = device
        self._epoch = 0
        self._position = 0
        self._order = torch.empty(0, dtype=torch.int64)

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return self._epoch

    @property
    def position(self) -> int:
        """Number of batches of the current epoch already handed out."""
        return self._position

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-self._samples // self._batch_size)

    def __iter__(self) -> Iterator[torch.Tensor]:
        """What is left of the current epoch: int64 ``[B]``."""
        self._order = self._permutation()
        while self._position < len(self):
            self._position += 1
            yield self._batch(self._position - 1)
        self._epoch += 1
        self._position = 0

    def following(self) -> torch.Tensor:
        """The batch after the one last handed out, without handing it out; empty at the end of an epoch."""
        return self._batch(self._position)

    def _batch(self, position: int) -> torch.Tensor:
        return self._order[position * self._batch_size : (position + 1) * self._batch_size]

    def _permutation(self) -> torch.Tensor:
        number = derived_seed("batch order", self._seed, self._epoch)
        order = torch.randperm(self._samples, generator=torch.Generator().manual_seed(number))
        return order.to(self._device)

    def state_dict(self) -> dict[str, int]:
        """Where the order stands, as plain integers."""
        return {
            "samples": self._samples,
            "batch_size": self._batch_size,
            "seed": self._seed,
            "epoch": self._epoch,
            "position": self._position,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state`` was taken.

        Raises:
            DataError: the state is of other data, another batch size or seed, or is not a state.
        """
        own = self.state_dict()
        if state.keys() != own.keys() or not all(type(value) is int for value in state.values()):
            raise DataError("The checkpoint's sampler state is damaged.")
        if other := [
            f"{k} {state[k]}, here {own[k]}" for k in ("samples", "batch_size", "seed") if state[k] != own[k]
        ]:
            raise DataError(f"The checkpoint belongs to another run: {'; '.join(other)}.")
        if state["epoch"] < 0 or not 0 <= state["position"] <= len(self):
            where = f"epoch {state['epoch']}, batch {state['position']}"
            raise DataError(f"The checkpoint's sampler state is damaged: {where}.")
        self._epoch, self._position = state["epoch"], state["position"]
