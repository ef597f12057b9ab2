r"""Choose thresholds, start values and corrected weights on calibration images, layer by layer.

The layers are taken in order. What a layer sees are the spikes that the layers before it, as converted,
really send on the calibration images; what it should give are the ANN's activations :math:`a`. Per layer:

1. :math:`\theta` per channel: least squared error of the quantised activations, or what fine-tuning found;
2. weights corrected so that the mean current is the ANN's sum (:mod:`snn_deploy.convert.weights`);
3. in every round: :math:`\theta` and the start per channel by running the neurons with several of each; then
   weights corrected by the residual :math:`a - \theta N / T` of the output;
4. of all rounds the one is kept whose output is nearest to :math:`a` on images that no correction has seen.

Thresholds fitted to real spikes, starts that wait, and weights that expect spikes take away most of the
unevenness error. No label, no gradient, no test image is used. The last weights are corrected once, by the
residual of the scores. Steps 2 to 4 and all numbers are our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod

import nir
import torch

from snn_deploy.convert.ann import Ann, Rectifier
from snn_deploy.convert.choices import Choices
from snn_deploy.convert.neuron import START, fired, output, searched, thinned, thresholds
from snn_deploy.convert.values import Spikes, Values
from snn_deploy.convert.weights import Regression, correctable, corrected, rows, windows

COARSE = (0.6, 0.8, 1.0, 1.25), (-0.375, -0.1875, 0.0, 0.1875)
FINE = (0.85, 1.0, 1.15), (-0.125, 0.0, 0.125)
"""Factors of thresholds and shifts of starts that are tried in the first round and in later ones."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted network in the units of the ANN.

    Attributes:
        ann: what it was made from.
        timesteps: T.
        choices: how.
        nodes: the ANN's nodes with corrected weights.
        even: per rectifier, the thresholds ``[C]`` that are best for an even current.
        theta, start: per rectifier, thresholds and starts ``[C]``.
    """

    ann: Ann
    timesteps: int
    choices: Choices
    nodes: Mapping[str, nir.NIRNode]
    even: Mapping[str, torch.Tensor]
    theta: Mapping[str, torch.Tensor]
    start: Mapping[str, torch.Tensor]


@torch.no_grad()
def calibrate(
    ann: Ann, x: torch.Tensor, timesteps: int, choices: Choices, say: Say = lambda line: None
) -> Converted:
    """Convert ``ann`` for T ``timesteps`` on calibration images ``x [B, *shape]``, each shown in every
    step."""
    layers = ann.rectifiers
    work = _Calibration(ann, x, timesteps, choices)
    for number, name in enumerate(layers, 1):
        say(f"T = {timesteps}: layer {number} of {len(layers)}, {name}")
        work.layer(name)
    work.scores()
    return Converted(ann, timesteps, choices, work.nodes, work.even, work.theta, work.start)


@dataclass(slots=True)
class _Best:
    """The round with the least error so far."""

    error: float
    node: nir.NIRNode | None
    theta: torch.Tensor
    start: torch.Tensor


class _Calibration:
    """The state between two layers; see the module's text."""

    def __init__(self, ann: Ann, x: torch.Tensor, timesteps: int, choices: Choices) -> None:
        self.ann, self.timesteps, self.choices = ann, timesteps, choices
        self.nodes = dict(ann.nodes)
        self.even: dict[str, torch.Tensor] = {}
        self.theta: dict[str, torch.Tensor] = {}
        self.start: dict[str, torch.Tensor] = {}
        self._readers = ann.readers()
        self._wanted = Values(ann, ann.nodes, {ann.input: x[None]})
        self._seen = Values(ann, self.nodes, {ann.input: x[None]}, choices.max_pool)
        fitted = max(1, round(len(x) * (1 - choices.judged)))
        self._fit = tuple(choices.parts(0, fitted))
        self._judge = tuple(choices.parts(fitted, len(x))) or self._fit
        self._every = self._fit if self._judge is self._fit else (*self._fit, *self._judge)

    def layer(self, name: str) -> None:
        """Choose everything about the neurons called ``name``."""
        a = torch.cat([self._wanted.of(name, part)[0] for part in self._every])
        theta = self.even[name] = self._threshold(name, a)
        start = torch.full_like(theta, START)
        if self.choices.rounds and self._seen.leaves(name) != {self.ann.input}:
            theta, start = self._chosen(name, a, theta)
        self.theta[name], self.start[name] = theta, start
        bits = [fired(self._current(name, part), theta, start) for part in self._every]
        self._wanted.keep(name, a[None])
        self._seen.keep(name, Spikes(torch.cat(bits, 1), theta))

    def _threshold(self, name: str, a: torch.Tensor) -> torch.Tensor:
        """The one that was trained, or else the best for an even current."""
        node = self.ann.nodes[name]
        assert isinstance(node, Rectifier)
        if node.theta is not None:
            return torch.from_numpy(node.theta)
        return thresholds(a, self.timesteps, each_channel=self.choices.each_channel)

    def scores(self) -> None:
        """Correct the last weights."""
        output, weights = self.ann.output, self._weights(self.ann.output)
        if self.choices.rounds and weights is not None:
            self._correct(weights, self._regression(weights), partial(self._missing, output))

    def _chosen(self, name: str, a: torch.Tensor, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Thresholds and starts of the best round; its weights are put in their place."""
        weights, start = self._weights(name), torch.full_like(theta, START)
        regression = None if weights is None else self._regression(weights)
        if weights is not None and regression is not None:
            self._correct(weights, regression, partial(self._missing, name))
        best: _Best | None = None
        for number in range(self.choices.rounds):
            if number and weights is not None and regression is not None:
                residual = partial(self._residual, name, a, theta, start)
                self._correct(weights, regression, residual, self.choices.step)
            seen = self._examples(name, a)
            theta, start = searched(seen, theta, start, *(FINE if number else COARSE))
            error = sum(
                float(self._residual(name, a, theta, start, part).pow(2).sum()) for part in self._judge
            )
            if best is None or error < best.error:
                best = _Best(error, self.nodes.get(weights or ""), theta, start)
        assert best is not None
        if weights is not None and best.node is not None:
            self._put(weights, best.node)
        return best.theta, best.start

    def _examples(self, name: str, a: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Currents and activations to choose thresholds and starts on."""
        images = a.ndim == 4
        for part in self._fit:
            current, wanted = self._current(name, part), a[part]
            yield (thinned(current), thinned(wanted)) if images else (current, wanted)

    def _weights(self, name: str) -> str | None:
        """The weights whose output only ``name`` reads, and that may be corrected."""
        own = [s for s in self.ann.sources[name] if self._readers[s] == [name] and correctable(self.nodes[s])]
        return own[-1] if own else None

    def _current(self, name: str, part: slice) -> torch.Tensor:
        current = self._seen.entering(name, part)
        return current.expand(self.timesteps, *current.shape[1:])

    def _missing(self, name: str, part: slice) -> torch.Tensor:
        """What the mean input of a node lacks to what it is in the ANN."""
        return self._wanted.entering(name, part)[0] - self._seen.entering(name, part).mean(0)

    def _residual(
        self, name: str, a: torch.Tensor, theta: torch.Tensor, start: torch.Tensor, part: slice
    ) -> torch.Tensor:
        """What the output of neurons lacks to the activations ``a``."""
        return a[part] - output(self._current(name, part), theta, start)

    def _regression(self, weights: str) -> Regression:
        regression = Regression(self.choices.penalty)
        for part in self._fit:
            regression.add(self._windows(weights, part))
        return regression

    def _windows(self, weights: str, part: slice) -> torch.Tensor:
        entering = self._seen.entering(weights, part).mean(0)
        found = windows(self.nodes[weights], entering)
        positions = prod(self.ann.shapes[weights][1:])
        return entering.new_ones(len(entering) * positions, 1) if found is None else found

    def _correct(
        self,
        weights: str,
        regression: Regression,
        residual: Callable[[slice], torch.Tensor],
        step: float = 1.0,
    ) -> None:
        moments = [(self._windows(weights, part).T @ rows(residual(part))).double() for part in self._fit]
        delta = regression.correction(torch.stack(moments).sum(0))
        self._put(weights, corrected(self.nodes[weights], step * delta))

    def _put(self, name: str, node: nir.NIRNode) -> None:
        self.nodes[name] = node
        self._seen.replace(name, node)
