"""snn-mlir's NIR front end: the layers that it parses, executed here as its dialect describes them.

Its own execution needs a compiler built from source. A neuron of the dialect is v := decay v + x, then a
spike where v > threshold and v := v_reset; a CUBA neuron feeds the membrane with its new current.
"""

import numpy as np
import snn_mlir

PACKAGES = ("snn-mlir", "nir")


def run(path, x, dt):
    """Outputs ``[T, B, ...]``."""
    graph = snn_mlir.parse_graph(path)
    back = {b: a for a, b in graph.recurrent_edges}
    state, spikes, outputs = {}, {}, []
    for frame in x.astype(np.float64):
        values = {"input": frame}
        for name in graph.order:
            layer = graph.nodes[name]
            if name in back:
                entering = spikes.get(back[name], np.zeros((x.shape[1], layer.in_shape[0])))
            else:
                entering = sum(values[a] for a, b in graph.edges if b == name)
            values[name] = LAYERS[type(layer).__name__](layer, entering, state.setdefault(name, {}))
        spikes = values
        outputs.append(sum(values[a] for a, b in graph.edges if b == "output"))
    return np.stack(outputs)


def dense(layer, x, state):
    y = x @ layer.weights.T
    return y if layer.bias is None else y + layer.bias


def windows(x, kernel, stride, padding):
    """``[B, C, *places, *kernel]``."""
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    axes = tuple(range(2, 2 + len(kernel)))
    found = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=axes)
    return found[(slice(None), slice(None), *(slice(None, None, s) for s in stride))]


def convolve(layer, x, state):
    pairs = [np.atleast_1d(value) for value in (layer.kernel, layer.stride, layer.padding)]
    found = windows(x, *(tuple(int(v) for v in pair) for pair in pairs))
    y = np.einsum("bchwij,ocij->bohw" if x.ndim == 4 else "bchi,oci->boh", found, layer.weights)
    bias = 0 if layer.bias is None else layer.bias.reshape(-1, *(1,) * (x.ndim - 2))
    return y + bias


def flatten(layer, x, state):
    rank = x.ndim - 1
    first, last = layer.start_dim % rank + 1, layer.end_dim % rank + 1
    return x.reshape(*x.shape[:first], -1, *x.shape[last + 1 :])


def membrane(layer, x, state):
    if hasattr(layer, "cur_decay"):
        state["i"] = layer.cur_decay * state.get("i", 0) + x
        state["v"] = layer.vol_decay * state.get("v", 0) + state["i"]
    else:
        state["v"] = layer.decay * state.get("v", 0) + x
    return state["v"]


def neuron(layer, x, state):
    v = membrane(layer, x, state)
    fired = v > layer.threshold
    state["v"] = np.where(fired, getattr(layer, "v_reset", 0.0), v)
    return fired.astype(np.float64)


LAYERS = {
    "LinearInfo": dense,
    "ConvInfo": convolve,
    "Conv1dInfo": convolve,
    "SumPool2dInfo": lambda layer, x, _: windows(x, layer.kernel, layer.stride, layer.padding).sum((-1, -2)),
    "AvgPool2dInfo": lambda layer, x, _: windows(x, layer.kernel, layer.stride, layer.padding).mean((-1, -2)),
    "FlattenInfo": flatten,
    "LIFInfo": neuron,
    "CubaLIFInfo": neuron,
    "LIInfo": membrane,
    "CubaLIInfo": membrane,
}
