r"""From real weights to Loihi's integers, one scale per layer, or one per channel.

With scale S (weight units per unit of the layer's input current) and step :math:`2^{9-bits}`,

.. math::
    W_q = \operatorname{clip}(step \cdot \operatorname{round}(W S / step), -256, 256 - step), \quad
    b_q = \operatorname{round}(b S), \quad d = \operatorname{round}(4096\, \ell)

and the threshold becomes :math:`\lceil \theta S \rceil - 1` (for ``>=``, :math:`\lfloor \theta S \rfloor` for
``>``) where the state is a whole number of weight units, which is exact, else :math:`\operatorname{round}
(\theta S)`: a leaking state has 64ths of a unit.

S is searched for (:mod:`snn_deploy.graph.passes.quantize.scale_search`), and weights other than the nearest
integers where they make up for each other's errors, within limits that are proven: 17-bit thresholds, 13-bit
biases, sums that cannot wrap the 24-bit current, matrices that Lava computes as stored. A recurrent layer is
one problem of both its matrices side by side, at one scale, since their currents add up. Scales per channel
make thresholds per channel, which run in Lava's simulation only. Relays take the largest weight; with one
scale per layer that bounds S, since the threshold has to stay below it.

Only a readout's membrane, which adds up over time, is bounded by calibration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.lava.net import (
    DECAY_ONE,
    Conv,
    Cuba,
    Dense,
    Flatten,
    Input,
    LavaNet,
    Layer,
    Readout,
    Span,
)
from snn_deploy.graph.passes.protocol import Change, Made, Pass, parts
from snn_deploy.graph.passes.quantize.candidates import (
    Candidate,
    LayerTask,
    as_they_are,
    largest_weight,
    only_relays,
    trained_candidate,
)
from snn_deploy.graph.passes.quantize.keeps import rounded_only
from snn_deploy.graph.passes.quantize.rounding_errors import (
    error_row,
    graded_relay,
    no_scale,
    not_trained,
    notes,
)
from snn_deploy.graph.passes.quantize.scale_search import best_candidate
from snn_deploy.graph.passes.quantize.tasks import Seen, fired, prepare
from snn_deploy.graph.passes.to_chip.input_grid import InputGrid, input_grid
from snn_deploy.graph.passes.to_chip.layers import Chain, ChipLayer
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Matrix
from snn_deploy.graph.trained_form import TrainedForm

Scales = Literal["layer", "channel"]


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """The integer network, the scale S of each of its layers, and what the rounding costs.

    ``scales`` are one number per layer, or one per channel; ``table`` has one row per layer; ``notes`` are
    sentences for the manifest.
    """

    net: LavaNet
    scales: tuple[FloatArray, ...]
    table: list[dict[str, Any]]
    notes: tuple[str, ...]


@parts.register
def _(quantized: Quantized) -> Mapping[str, object]:
    return parts(quantized.net)


@dataclass(frozen=True, eq=False)
class Quantize(Pass[Chain, Quantized]):
    """A chain in integers.

    Attributes:
        x: calibration input ``[T, B, *shape]``.
        spikes: what every population of the real network fired on x, by name, ``[T, B, *shape]``.
        bits: weight bits, 2 to 8.
        scales: one S per layer, or one per channel.
        nearest: only the nearest integers, as training rounds, even where others have a smaller error.
        trained: the form that the network was trained in, at ``bits``: its scales are taken, not searched.
    """

    name: ClassVar[str] = "quantise"
    refusal: ClassVar[str] = "A skip path carries the input."
    x: torch.Tensor = field(metadata={"journal": False})
    spikes: Mapping[str, torch.Tensor] = field(metadata={"journal": False})
    bits: int = 8
    scales: Scales = "layer"
    nearest: bool = False
    trained: TrainedForm | None = field(default=None, metadata={"journal": False})

    def requires(self, before: Chain) -> Iterable[Problem]:
        """A skip path carries spikes."""
        grid = self._grid()
        if before.relays_input and grid.range != (0, 1):
            yield graded_relay(before, grid)

    def apply(self, before: Chain) -> Made[Quantized]:
        """The integer network.

        Raises:
            UnsupportedError: with every layer for which no scale keeps the limits.
        """
        grid, bits = self._grid(), self.bits
        found: list[tuple[LayerTask, Candidate]] = []
        problems: list[Problem] = []
        units = grid.units(self.x)
        seen, value, span = units, grid.scale, grid.range
        for layer in before.layers:
            own = None
            if layer is not before.layers[-1] or layer.recurrent is not None:
                own = fired(layer, {before.input_name: units, **self.spikes})
            limits = _relay_limit(layer, bits, self.scales)
            task = prepare(before, layer, Seen(seen, value, span, own), limits)
            chosen = self._chosen(task)
            if isinstance(chosen, Problem):
                problems.append(chosen)
            else:
                found.append((task, chosen))
            if own is not None:
                seen, value, span = own, 1.0, (0, 1)
        if problems:
            raise UnsupportedError("No scale keeps the limits of the chip.", problems=problems)
        whole = [(task, _with_relays(task, chosen, bits)) for task, chosen in found]
        net = _assemble(before, grid, whole, int(self.x.shape[0]))
        facts = {
            "bits": bits,
            "scale": {n: c.scale.tolist() for n, (_, c) in zip(net.names, whole, strict=True)},
            "input scale": net.input_scale,
            "trained under the rules of": None if self.trained is None else self.trained.target,
        }
        quantized = Quantized(
            net=net,
            scales=tuple(candidate.scale for _, candidate in whole),
            table=[error_row(task, chosen, bits) for task, chosen in found if len(task.map.weight)],
            notes=notes(before, grid, bits, self.scales, self.trained),
        )
        return Made(quantized, facts=facts)

    def ensures(self, change: Change[Chain, Quantized]) -> Iterable[Problem]:
        """Layers keep their shapes; weights lie on the grid, thresholds within one unit of theirs."""
        return rounded_only(change.before, change.after.net, change.after.scales, self.bits)

    def _chosen(self, task: LayerTask) -> Candidate | Problem:
        """The integers of one layer without its relays, or why there are none."""
        if not len(task.map.weight):
            return only_relays(task, self.bits)
        given = None if self.trained is None else _trained_scale(task.layer, self.trained)
        if given is not None:
            return trained_candidate(task, given, self.bits) or not_trained(task.layer.name, self.bits)
        if (given_integers := as_they_are(task, self.bits)) is not None:
            return given_integers
        per_channel = self.scales == "channel"
        best = best_candidate(task, self.bits, per_channel=per_channel, nearest=self.nearest)
        return best or no_scale(task.layer.name, self.bits)

    def _grid(self) -> InputGrid:
        return input_grid(self.x) if self.trained is None else self.trained.grid.on(self.x)


def _relay_limit(layer: ChipLayer, bits: int, scales: Scales) -> dict[str, float]:
    """With one scale, what keeps the threshold of relays below their weight."""
    if not layer.relays or scales == "channel" or layer.threshold is None:
        return {}
    return {"relay": (largest_weight(bits) - 1) / layer.threshold}


def _with_relays(task: LayerTask, candidate: Candidate, bits: int) -> Candidate:
    """``candidate`` for the whole layer; a relay's own threshold is half its weight."""
    count, own = task.layer.relays, len(task.map.weight)
    scale, threshold = candidate.scale, candidate.threshold
    if count and (scale.ndim or threshold >= largest_weight(bits)):
        scale = np.concatenate([np.broadcast_to(scale, own), np.ones(count)])
        threshold = np.full(own + count, largest_weight(bits) // 2)
        threshold[:own] = candidate.threshold
    return replace(
        candidate,
        scale=scale,
        weight=task.with_relays(candidate.weight, bits),
        bias=np.concatenate([candidate.bias, np.zeros(count, np.int64)]),
        threshold=threshold,
    )


def _assemble(
    chain: Chain, grid: InputGrid, chosen: list[tuple[LayerTask, Candidate]], steps: int
) -> LavaNet:
    layers: list[Layer] = [Input(chain.input_shape)]
    for layer, (task, candidate) in zip(chain.layers, chosen, strict=True):
        if layer.flattens:
            layers.append(Flatten((int(np.prod(layers[-1].shape)),)))
        neuron = Cuba(
            current_decay=np.asarray(np.rint(layer.current_leak * DECAY_ONE), np.int64),
            voltage_decay=np.asarray(np.rint(layer.voltage_leak * DECAY_ONE), np.int64),
            threshold=np.asarray(candidate.threshold, np.int64),
        )
        bias = candidate.bias if candidate.bias.any() else None
        linear = layer.map
        if isinstance(linear, Matrix):
            weight, recurrent = task.parts(candidate.weight)
            layers.append(Dense(weight, neuron, bias, recurrent, layer.delay))
        else:
            geometry = (linear.stride, linear.padding, linear.dilation, linear.groups)
            layers.append(Conv(layer.shape, candidate.weight, neuron, bias, *geometry))
    return LavaNet(
        layers=tuple(layers),
        names=tuple(layer.name for layer in chain.layers),
        input_name=chain.input_name,
        input_range=grid.range,
        input_scale=grid.scale,
        readout=None if chain.readout is None else Readout(chain.readout, 64.0 * float(chosen[-1][1].scale)),
        timesteps=chain.semantics.timesteps or steps,
        decode=chain.semantics.decode,
        classes=chain.semantics.classes,
        spans=tuple(
            tuple(Span(member.name, member.first, member.count) for member in layer.members)
            for layer in chain.layers
        ),
    )


def _trained_scale(layer: ChipLayer, trained: TrainedForm) -> float | None:
    """The scale at which ``layer`` was trained; None for one without weights to train, such as a maximum."""
    if layer.threshold is None:
        return trained.scales.get(layer.name)
    own = [member.name for member in layer.members if not member.relay] or [layer.name]
    thresholds = [trained.thresholds[name] for name in own if name in trained.thresholds]
    return thresholds[0] / layer.threshold if thresholds else None
