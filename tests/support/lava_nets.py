"""Random legal ``.net`` networks, the same for every seed, and input for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from snn_deploy.graph.lava.net import (
    NEVER_FIRES,
    Conv,
    Cuba,
    Dense,
    Flatten,
    Input,
    LavaNet,
    Layer,
    Readout,
    conv_shape,
)
from snn_deploy.graph.passes.quantize.quantize import Quantize, Scales
from snn_deploy.graph.passes.to_chip.loihi import Lower
from snn_deploy.graph.plan import make_plan
from snn_deploy.simulate.reference import Reference
from support.residuals import pooled, residual

KINDS = ("plain", "recurrent", "delays", "arrays", "graded", "readout", "analog", "lowered")


def random_net(seed: int, kind: str = "plain") -> LavaNet:
    """Up to 3 convolutions and up to 3 dense layers with mixed decays and biases.

    ``kind`` adds recurrence or delays to the dense layers, makes neuron parameters arrays, the input graded
    or analog, or lets the last layer be read by its membrane; ``lowered`` is a pooled or residual network,
    with maxima, relays and populations side by side.
    """
    if kind == "lowered":
        return _lowered(seed)
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    needs_dense = kind in {"recurrent", "delays", "readout"}
    convs, denses = int(rng.integers(0, 4)), int(rng.integers(needs_dense, 4))
    denses = max(denses, convs == 0)
    shape: tuple[int, ...] = (int(rng.integers(3, 20)),)
    if convs:
        shape = (int(rng.integers(1, 4)), *(int(n) for n in rng.integers(5, 11, 2)))
    layers: list[Layer] = [_input(rng, shape, kind)]
    for _ in range(convs):
        layer = _conv(rng, shape, kind)
        if layer is not None:
            layers.append(layer)
            shape = layer.shape
    if denses and len(shape) == 3:
        layers.append(Flatten((int(np.prod(shape)),)))
    for _ in range(denses):
        layers.append(_dense(rng, int(np.prod(shape)), kind))
        shape = layers[-1].shape
    if kind == "readout":
        last = layers[-1]
        assert isinstance(last, Dense)
        layers[-1] = replace(last, neuron=Cuba.of(4096, int(rng.choice([0, 512])), NEVER_FIRES))
    net = LavaNet(
        tuple(layers),
        (),
        input_range=(0, 255) if kind == "graded" else (0, 1),
        readout=Readout(str(rng.choice(["current", "membrane"])), 64.0) if kind == "readout" else None,
    )
    if not net.depth:
        return random_net(seed + 100_000, kind)
    return replace(net, names=tuple(f"population{i}" for i in range(len(net.populations))))


def _lowered(seed: int) -> LavaNet:
    kinds = ("sew", "post", "ms", "maximum", "average")
    kind = kinds[seed % len(kinds)]
    graph = residual(kind, seed) if kind in kinds[:3] else pooled(kind, seed)
    plan = make_plan(graph)
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(6, 4, *plan.shapes[plan.input], generator=generator) < 0.5).float()
    scales: Scales = "channel" if seed % 7 == 0 else "layer"
    return Quantize(x, Reference(plan).run(x, record=True).records, scales=scales)(Lower()(graph)).net


def random_input(net: LavaNet, seed: int, steps: int, batch: int) -> np.ndarray:
    """Integer input ``[T, B, *shape]`` within the network's range, int64."""
    rng = np.random.default_rng([seed, 1])
    shape = (steps, batch, *net.input_shape)
    if net.analog:
        return rng.integers(-3, 4, shape)
    active = rng.random(shape) < rng.uniform(0.1, 0.6)
    return active * rng.integers(1, net.input_range[1] + 1, shape)


def _even(rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
    return 2 * rng.integers(low // 2, high // 2 + 1, shape)


def _weight(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Even weights of mixed sign, now and then all positive; leaning to the positive, so that it fires."""
    low = 2 if rng.random() < 0.1 else -int(rng.integers(2, 180))
    weight = _even(rng, low, int(rng.integers(60, 255)), shape)
    weight.flat[0] = 2
    return weight


def _neuron(rng: np.random.Generator, width: int, kind: str) -> Cuba:
    threshold = int(rng.integers(20, 400))
    if kind == "arrays":
        return Cuba(
            rng.integers(1, 4097, width), rng.integers(0, 4097, width), rng.integers(1, 2 * threshold, width)
        )
    current = rng.choice([4096, 4096, int(rng.integers(1, 4096)), 1024])
    voltage = rng.choice([0, 4096, 2048, int(rng.integers(0, 4097)), 128])
    return Cuba.of(int(current), int(voltage), threshold)


def _bias(rng: np.random.Generator, width: int) -> np.ndarray | None:
    return rng.integers(-20, 40, width) if rng.random() < 0.6 else None


def _input(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Input:
    if kind != "analog":
        return Input(shape)
    neuron = Cuba.of(4096, int(rng.choice([0, 1024])), int(rng.integers(20, 100)))
    return Input(shape, neuron, weight=int(rng.integers(10, 60)), bias=int(rng.integers(-10, 30)))


def _dense(rng: np.random.Generator, inputs: int, kind: str) -> Dense:
    outputs = int(rng.integers(2, 25))
    return Dense(
        weight=_weight(rng, (outputs, inputs)),
        neuron=_neuron(rng, outputs, kind),
        bias=_bias(rng, outputs),
        recurrent=_weight(rng, (outputs, outputs)) if kind == "recurrent" else None,
        delay=rng.integers(0, 5, (outputs, inputs)) if kind == "delays" else None,
    )


def _conv(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Conv | None:
    """A convolution of ``shape``, or None when its window does not fit."""
    channels, height, width = shape
    groups = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    outputs = groups * int(rng.integers(1, 4))
    window = tuple(int(n) for n in rng.integers(1, 4, 2))
    pairs = [tuple(int(n) for n in rng.integers(low, high, 2)) for low, high in ((1, 3), (0, 3), (1, 3))]
    weight = _weight(rng, (outputs, channels // groups, *window))
    layer = Conv((1, 1, 1), weight, _neuron(rng, outputs, kind), _bias(rng, outputs), *pairs, groups)
    out = conv_shape(layer, height, width)
    return replace(layer, shape=out) if min(out) > 0 else None
