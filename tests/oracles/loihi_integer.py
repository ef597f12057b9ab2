"""An independent integer simulator of CUBA networks: plain loops over Python integers, nothing shared.

Written from the equations alone; slow, so for small networks only.
"""

from __future__ import annotations

import itertools

import numpy as np

from snn_deploy.graph.lava.net import Conv, Dense, Flatten, Input, LavaNet


def _toward_zero(value: int, keep: int) -> int:
    product = value * keep
    return -(-product // 4096) if product < 0 else product // 4096


class _Population:
    def __init__(self, layer, count: int, per_channel: int) -> None:
        neuron = layer.neuron

        def expand(values):
            values = np.asarray(values)
            listed = values.reshape(-1).tolist() if values.ndim else [int(values)] * (count // per_channel)
            return [v for v in listed for _ in range(per_channel)]

        if neuron is None:
            self.du, self.dv, self.th = [0] * count, [4096] * count, [1 << 17] * count
        else:
            self.du = expand(neuron.current_decay)
            self.dv = expand(neuron.voltage_decay)
            self.th = expand(neuron.threshold)
        bias = getattr(layer, "bias", None)
        has_bias = bias is not None and not isinstance(layer, Input)
        self.bias = expand(bias) if has_bias else [0] * count
        self.reset()

    def reset(self) -> None:
        self.u = [0] * len(self.du)
        self.v = [0] * len(self.du)

    def step(self, sums: list[int], drive: list[int] | None = None) -> list[int]:
        spikes = []
        for i, a in enumerate(sums):
            u = _toward_zero(self.u[i], 4096 - self.du[i]) + 64 * a
            w = u - (1 << 24) if u > 1 << 23 else u
            if w <= -(1 << 23):
                w = u + (1 << 24)
            extra = drive[i] if drive else 0
            v = _toward_zero(self.v[i], 4096 - self.dv[i]) + w + 64 * (self.bias[i] + extra)
            v = max(min(v, (1 << 23) - 1), 1 - (1 << 23))
            fired = int(v > 64 * self.th[i])
            self.u[i], self.v[i] = w, 0 if fired else v
            spikes.append(fired)
        return spikes


def _connections(layer, shape: tuple[int, ...]) -> list[list[tuple[int, int, int]]]:
    """Per output neuron: (input neuron, weight, delay)."""
    if isinstance(layer, Dense):
        delay = np.zeros_like(layer.weight) if layer.delay is None else layer.delay
        return [
            [(i, int(w), int(d)) for i, (w, d) in enumerate(zip(row, waits, strict=True))]
            for row, waits in zip(layer.weight, delay, strict=True)
        ]
    _, height, width = shape
    out_channels, per_group, kh, kw = layer.weight.shape
    outputs_per_group = out_channels // layer.groups
    found = []
    for o, y, x in itertools.product(*(range(n) for n in layer.shape)):
        first = o // outputs_per_group * per_group
        taps = []
        for c, i, j in itertools.product(range(per_group), range(kh), range(kw)):
            yy = y * layer.stride[0] - layer.padding[0] + i * layer.dilation[0]
            xx = x * layer.stride[1] - layer.padding[1] + j * layer.dilation[1]
            if 0 <= yy < height and 0 <= xx < width:
                taps.append((((first + c) * height + yy) * width + xx, int(layer.weight[o, c, i, j]), 0))
        found.append(taps)
    return found


def simulate(
    net: LavaNet, x: np.ndarray, *, pipelined: bool = False, interval: int | None = None, offset: int = 0
) -> list[dict[str, np.ndarray]]:
    """Spikes ``s``, currents ``u`` and voltages ``v`` of every population, ``[T, *shape]`` each, for one
    input ``x [T, *shape]`` of integers."""
    shape = net.input_shape
    populations, shapes, wiring = [], [], []
    for layer in net.layers:
        if isinstance(layer, Flatten) or (isinstance(layer, Input) and layer.neuron is None):
            continue
        count = int(np.prod(layer.shape))
        populations.append((layer, _Population(layer, count, count // layer.shape[0])))
        wiring.append(None if isinstance(layer, Input) else _connections(layer, shape))
        shape = layer.shape
        shapes.append(shape)
    histories: list[list[list[int]]] = [[] for _ in populations]
    states: list[list[tuple[list[int], list[int]]]] = [[] for _ in populations]
    for t in range(len(x)):
        source: list[list[int]] = [frame.reshape(-1).astype(int).tolist() for frame in x[: t + 1]]
        for k, ((layer, population), taps) in enumerate(zip(populations, wiring, strict=True)):
            if interval and (t + 1) % interval == (offset + 1 + k) % interval:
                population.reset()
            if taps is None:
                drive = [layer.weight * value + layer.bias for value in source[t]]
                histories[k].append(population.step([0] * len(drive), drive))
            else:
                now = t - 1 if pipelined else t
                sums = [sum(w * source[now - d][i] for i, w, d in row if now - d >= 0) for row in taps]
                if isinstance(layer, Conv):
                    sums = [(a + (1 << 23)) % (1 << 24) - (1 << 23) for a in sums]
                if isinstance(layer, Dense) and layer.recurrent is not None and t > 0:
                    own = histories[k][t - 1]
                    sums = [
                        a + sum(int(w) * s for w, s in zip(row, own, strict=True))
                        for a, row in zip(sums, layer.recurrent, strict=True)
                    ]
                histories[k].append(population.step(sums))
            states[k].append((list(population.u), list(population.v)))
            source = histories[k]
    return [
        {
            "s": np.array(spikes).reshape(len(x), *shape),
            "u": np.array([u for u, _ in state]).reshape(len(x), *shape),
            "v": np.array([v for _, v in state]).reshape(len(x), *shape),
        }
        for spikes, state, shape in zip(histories, states, shapes, strict=True)
    ]
