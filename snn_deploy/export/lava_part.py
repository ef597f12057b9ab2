"""The part of a proof that runs in Lava, within a budget of time.

Lava needs up to seconds for a step of one sample. So as many samples are run as the budget allows, and where
not even one is finished in half of it, single layers are shown in what is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from snn_deploy.core.errors import MissingOptionalError
from snn_deploy.export.verify import Samples
from snn_deploy.simulate.base import Executable
from snn_deploy.simulate.lava.by_layer import STEPS, LavaByLayer
from snn_deploy.simulate.lava.client import Lava

Report = Callable[[str], None]

ENDING = 0.04
"""Share of the budget in which workers are stopped and what they found is joined; our choice."""


@dataclass(frozen=True, slots=True)
class LavaPart:
    """What Lava is compared on.

    Attributes:
        samples: those that it finished; the first steps of one where it finished none.
        opened: gives Lava, which has run them already, or refuses.
        shown: what was shown, in words, where it is less than was asked for.
    """

    samples: Samples
    opened: Callable[[], Executable]
    shown: str = ""


def lava_part(path: Path, samples: Samples, seconds: float, report: Report) -> LavaPart:
    """Run the ``.net`` file at ``path`` on as much of ``samples`` as ``seconds`` allow.

    Raises:
        LavaError: Lava failed.
    """
    end = time.monotonic() + (1 - ENDING) * seconds

    def left() -> float:
        return max(end - time.monotonic(), 0.0)

    try:
        lava = Lava(path)
        if done := lava.run_ahead(samples.x, left(), report):
            chosen = _chosen(samples, done)
            return LavaPart(chosen, lambda: lava, _of_samples(len(done), len(samples), seconds))
        report("not one sample was finished in Lava in time; running single layers")
        begin = Samples(samples.x[:STEPS, :1], None, samples.decode)
        layers = LavaByLayer(lava.net, begin.x, left(), report=report)
        shown = _of_layers(layers.shown, lava.net.names, len(begin.x), seconds)
        return LavaPart(begin, lambda: layers, shown)
    except MissingOptionalError as error:
        return LavaPart(samples, partial(_refuse, error))


def _refuse(error: MissingOptionalError) -> Executable:
    raise error


def _chosen(samples: Samples, numbers: Sequence[int]) -> Samples:
    which = torch.tensor(numbers)
    labels = None if samples.labels is None else samples.labels[which]
    return replace(samples, x=samples.x[:, which], labels=labels)


def _of_samples(done: int, total: int, seconds: float) -> str:
    return "" if done == total else f"{done} of {total} samples; the budget of {seconds:g} s allowed no more"


def _of_layers(shown: Sequence[str], names: Sequence[str], steps: int, seconds: float) -> str:
    left = [name for name in names if name not in shown]
    text = (
        f"single layers only, {len(shown)} of {len(names)}, each given our simulator's spikes for {steps} "
        f"steps of one sample; {seconds:g} s allowed no more"
    )
    return f"{text}; not shown: {', '.join(left)}" if left else text
