"""Random legal ``.net`` networks, the same for every seed."""

from __future__ import annotations

import numpy as np

from snn_deploy.graph.lava_net import Conv, Cuba, Dense, Flatten, Input, LavaNet, Layer, conv_shape


def _even(rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
    return 2 * rng.integers(low // 2, high // 2 + 1, shape)


def _matrix(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    weight = _even(rng, -int(rng.integers(2, 257)), int(rng.integers(2, 255)), shape)
    weight[0, 0], weight[-1, -1] = 2, -2 if weight.size > 1 else 2
    return weight


def _neuron(rng: np.random.Generator, width: int, threshold: int, arrays: bool) -> Cuba:
    current = rng.choice([4096, 4096, int(rng.integers(1, 4096)), 1024])
    voltage = rng.choice([0, 4096, 2048, int(rng.integers(0, 4097)), 128])
    if not arrays:
        return Cuba.of(int(current), int(voltage), threshold)
    return Cuba(
        rng.integers(1, 4097, width), rng.integers(0, 4097, width), rng.integers(1, 2 * threshold, width)
    )


def random_net(
    seed: int,
    *,
    recurrent: bool = False,
    delays: bool = False,
    arrays: bool | None = None,
    graded: bool = False,
) -> LavaNet:
    """0 to 3 convolutions and 0 to 3 dense layers, at least one of them; mixed decays and biases."""
    rng = np.random.default_rng(seed)
    convs, denses = int(rng.integers(0, 4)), int(rng.integers(0, 4))
    if convs + denses == 0 or recurrent or delays:
        denses = max(denses, 1)
    per_layer = bool(rng.random() < 0.2) if arrays is None else arrays
    shape: tuple[int, ...]
    shape = (
        (int(rng.integers(1, 4)), *(int(n) for n in rng.integers(5, 11, 2)))
        if convs
        else (int(rng.integers(3, 20)),)
    )
    layers: list[Layer] = [Input(shape)]
    for _ in range(convs):
        layer = _conv(rng, shape, per_layer)
        if layer is None:
            break
        layers.append(layer)
        shape = layer.shape
    if denses and len(shape) == 3:
        layers.append(Flatten((int(np.prod(shape)),)))
    for _ in range(denses):
        inputs, outputs = int(np.prod(shape)), int(rng.integers(2, 25))
        layers.append(
            Dense(
                weight=_matrix(rng, (outputs, inputs)),
                neuron=_neuron(rng, outputs, int(rng.integers(20, 400)), per_layer),
                bias=rng.integers(-20, 40, outputs) if rng.random() < 0.6 else None,
                recurrent=_matrix(rng, (outputs, outputs)) if recurrent else None,
                delay=rng.integers(0, 5, (outputs, inputs)) if delays else None,
            )
        )
        shape = (outputs,)
    if len(layers) == 1:
        return random_net(seed + 100_000, recurrent=recurrent, delays=delays, arrays=arrays, graded=graded)
    count = sum(not isinstance(layer, Input | Flatten) for layer in layers)
    return LavaNet(
        tuple(layers),
        tuple(f"population{i}" for i in range(count)),
        input_range=(0, 255) if graded else (0, 1),
    )


def _conv(rng: np.random.Generator, shape: tuple[int, ...], arrays: bool) -> Conv | None:
    channels, height, width = shape
    groups = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    outputs = groups * int(rng.integers(1, 4))
    kernel = tuple(int(n) for n in rng.integers(1, 4, 2))
    weight = _even(
        rng, -int(rng.integers(20, 257)), int(rng.integers(20, 255)), (outputs, channels // groups, *kernel)
    )
    pairs = [tuple(int(n) for n in rng.integers(low, high, 2)) for low, high in ((1, 3), (0, 3), (1, 3))]
    neuron = _neuron(rng, outputs, int(rng.integers(20, 400)), arrays)
    bias = rng.integers(-20, 40, outputs) if rng.random() < 0.6 else None
    layer = Conv((1, 1, 1), weight, neuron, bias, *pairs, groups)
    out = conv_shape(layer, height, width)
    return Conv(out, weight, neuron, bias, *pairs, groups) if min(out) > 0 else None


def random_input(net: LavaNet, seed: int, steps: int, batch: int) -> np.ndarray:
    """Integer input ``[T, B, *shape]`` within the network's range, int64."""
    rng = np.random.default_rng([seed, 1])
    shape = (steps, batch, *net.input_shape)
    active = rng.random(shape) < rng.uniform(0.1, 0.6)
    low, high = net.input_range
    return active * rng.integers(max(low, 1), high + 1, shape)
