"""Run this bundle's model.nir without snn-deploy and without torch, and compare with example.npz.

    pip install -r requirements-nir.txt
    python run_nir.py                 the example: prints PASS or FAIL, exit 0 or 1
    python run_nir.py FRAMES.npy      class scores for your own frames [T, B, ...] (README.md, Input)

A small interpreter of NIR in numpy, in float64, for the graphs that snn-deploy writes (no nested graphs).
What NIR leaves open about discrete time it reads from the graph's metadata entry `snn_deploy`:

    LI, LIF    h = v + k (v_leak - v + r x)                 k = dt / tau, or 1 - exp(-dt / tau)
    I, IF      h = v + dt r x
    CUBA       i' = (1 - k_syn) i + k_syn w_in x,  h = v + k_mem (v_leak - v + r i')
    spike      s = [h > v_threshold] (or >=), then v' = v_reset where s, or v' = h - s (v_threshold - v_reset)
    many       s = max(0, ceil(h / v_threshold) - 1) (or floor(h / v_threshold))
    rounded    s = min(levels, max(0, ceil(h / v_threshold + 1/2) - 1)) (or floor(h / v_threshold + 1/2))
    late       resets that come a step later look at the membrane before its input
    bound      v' = max(v', v_min)

A float32 runtime may fire differently where h meets the threshold to within rounding, and only there: every
value is carried with a bound e on what rounding can do to it, u = 2^-24 per rounding,

    sums       e = n u sum |w x| + sum |w| e_x for n terms; 0 where all partial sums are float32 numbers
    membranes  e_h = |1 - k| e_v + |k r| e_x + 6 u (2 |v| + |k r x| + |k v_leak|); 0 where nothing rounds

Samples that differ pass only if |h - v_threshold| <= e_h somewhere in them; the line says how many.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
from float32_rounding import UNIT, bound, grid, rounds
from own_frames import decisions, fail, read_example, read_frames

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-4
DEFAULTS = {"dt": 1e-4, "integrator": "euler", "fires_at": ">", "reset": "zero", "spikes": "one"}
DEFAULTS |= {"levels": None, "v_min": None, "decode": "mean", "classes": []}


def read(path):
    """Nodes (dicts of numpy values), edges and semantics of a NIR file."""

    def value(dataset):
        content = dataset[()]
        return content.decode() if isinstance(content, bytes) else content

    with h5py.File(path, "r") as file:
        graph = file["node"]
        nodes = {
            name: {key: value(group[key]) for key in group if isinstance(group[key], h5py.Dataset)}
            for name, group in graph["nodes"].items()
        }
        for name, group in graph["nodes"].items():
            if "snn_deploy_reset" in group.get("metadata", {}):
                nodes[name]["reset"] = value(group["metadata/snn_deploy_reset"])
            if "snn_deploy_channels_last" in group.get("metadata", {}):
                shape = group["metadata/snn_deploy_channels_last"][()]
                nodes[name]["weight"] = channels_first(nodes[name]["weight"], shape)
        edges = [(a.decode(), b.decode()) for a, b in graph["edges"][()]]
        metadata = graph.get("metadata", {})
        stated = json.loads(value(metadata["snn_deploy"])) if "snn_deploy" in metadata else {}
        semantics = DEFAULTS | stated
        feedback = json.loads(value(metadata[key])) if (key := "snn_deploy_feedback") in metadata else []
    return nodes, edges, {tuple(edge) for edge in feedback}, semantics


def input_shape(path):
    """Shape of a frame."""
    nodes = read(path)[0]
    return next(tuple(map(int, node["shape"])) for node in nodes.values() if node["type"] == "Input")


def channels_first(weight, shape):
    """Dense weights written for an input flattened as (H, W, C), for one flattened as `shape` (C, H, W)."""
    channels, height, width = (int(size) for size in shape)
    moved = weight.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
    return moved.reshape(weight.shape)


def weighted(node, build):
    """Sums and their bounds for inputs and theirs; `build(weight, bias)` gives a function of the input."""
    weight, bias = node["weight"].astype(float), np.asarray(node.get("bias", np.zeros(1)), dtype=float)
    sums, sizes = build(weight, bias), build(np.abs(weight), np.abs(bias))
    terms, carry = build((weight != 0) * 1.0, (bias != 0) * 1.0), build(np.abs(weight), 0 * bias)
    of_weights, of_biases = grid(weight), grid(bias)

    def run(x, e):
        quantum = min(of_weights * grid(x), of_biases)
        return sums(x), bound(sizes(np.abs(x)), terms((x != 0) * 1.0), quantum) + carry(e)

    return run


def windows(x, kernel, stride, padding, dilation):
    """All windows of `x [B, C, *space]`: `[B, C, *out, *kernel]`."""
    x = np.pad(x, [(0, 0), (0, 0), *padding])
    span = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    axes = tuple(range(2, x.ndim))
    view = np.lib.stride_tricks.sliding_window_view(x, span, axes)
    steps = [slice(None), slice(None)]
    return view[
        tuple(steps + [slice(None, None, s) for s in stride] + [slice(None, None, d) for d in dilation])
    ]


def per_axis(value, count):
    """An int or an array of ints as `count` ints."""
    return [int(v) for v in np.broadcast_to(np.asarray(value).reshape(-1), (count,))]


def convolution(node, weight, bias):
    """The function of a Conv1d or Conv2d node with these weights and biases."""
    rank, groups, kernel = weight.ndim - 2, int(node["groups"]), weight.shape[2:]
    stride, dilation = per_axis(node["stride"], rank), per_axis(node["dilation"], rank)
    if isinstance(node["padding"], str):
        same = node["padding"] == "same"
        total = [same * d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        padding = [(t // 2, t - t // 2) for t in total]
    else:
        padding = [(p, p) for p in per_axis(node["padding"], rank)]
    grouped = weight.reshape(groups, len(weight) // groups, -1)

    def run(x):
        found = windows(x, kernel, stride, padding, dilation)
        space = found.shape[2 : 2 + rank]
        columns = np.moveaxis(found, 1, 1 + rank)  # [B, *out, C, *kernel]
        columns = columns.reshape(len(x), int(np.prod(space)), groups, -1)
        out = np.einsum("bngk,gok->bgon", columns, grouped, optimize=True)
        return out.reshape(len(x), len(weight), *space) + bias.reshape(-1, *[1] * rank)

    return run


def pooling(node):
    """The function of a SumPool2d or AvgPool2d node."""
    kernel, stride = per_axis(node["kernel_size"], 2), per_axis(node["stride"], 2)
    padding = [(p, p) for p in per_axis(node["padding"], 2)]
    share = 1.0 if node["type"] == "SumPool2d" else 1.0 / np.prod(kernel)

    def pool(x):
        return windows(x, kernel, stride, padding, [1, 1]).sum((-2, -1)) * share

    def run(x, e):
        quantum = share * grid(x) if np.frexp(share)[0] == 0.5 else 0.0
        return pool(x), bound(pool(np.abs(x)), np.prod(kernel) + 2, quantum) + pool(e)

    return run


def flattened(node, x):
    """What a Flatten node makes of `x`; its axes do not count the batch."""
    first, last = (int(node[key]) % (x.ndim - 1) for key in ("start_dim", "end_dim"))
    return x.reshape(*x.shape[: first + 1], -1, *x.shape[last + 2 :])


def stateless(node):
    """The function of a node without state, of its input and the bound on that, or None."""
    kind = node["type"]
    if kind in ("Input", "Output"):
        return lambda x, e: (x, e)
    if kind in ("Affine", "Linear"):
        return weighted(node, lambda weight, bias: lambda x: x @ weight.T + bias)
    if kind in ("Conv1d", "Conv2d"):
        return weighted(node, lambda weight, bias: convolution(node, weight, bias))
    if kind in ("SumPool2d", "AvgPool2d"):
        return pooling(node)
    if kind == "Flatten":
        return lambda x, e: (flattened(node, x), flattened(node, e))
    if kind == "Scale":
        scale = node["scale"]
        return lambda x, e: (x * scale, np.abs(scale) * e + rounds(2, (x * scale,)))
    return None


class Neuron:
    """One neuron, integrator, threshold or delay layer; `near` marks samples that met a threshold."""

    def __init__(self, node, semantics, batch):
        self.node, self.kind, self.semantics = node, node["type"], semantics
        self.near = np.zeros(batch, bool)
        shape = np.shape(next(node[k] for k in ("r", "threshold", "delay") if k in node))
        self.i = self.e = self.i_e = np.zeros((batch, *shape))
        at_zero = semantics.get("start") == "zero" and "v_reset" in node
        start = 0.0 if at_zero else node.get("v_reset", node.get("v_leak", 0.0))
        self.v = self.i + np.asarray(start, dtype=float)
        if self.kind == "Delay":
            self.steps = np.rint(node["delay"] / semantics["dt"]).astype(int)
            self.past = [(self.i, self.i) for _ in range(int(self.steps.max(initial=0)) + 1)]

    def rate(self, name):
        """Share of the way to equilibrium made in one step."""
        ratio = self.semantics["dt"] / np.asarray(self.node[name], dtype=float)
        return ratio if self.semantics["integrator"] == "euler" else 1.0 - np.exp(-ratio)

    def charge(self, x, e):
        """Membrane before firing, and its bound."""
        node, before = self.node, self.v
        if self.kind in ("I", "IF"):
            k, drive, leak = 0.0, self.semantics["dt"] * node["r"], 0.0
            h = before + drive * x
        else:
            if self.kind in ("CubaLI", "CubaLIF"):
                k = self.rate("tau_syn")
                kept, arriving = (1.0 - k) * self.i, k * node.get("w_in", 1.0) * x
                self.i_e = (1.0 - k) * self.i_e + np.abs(k * node.get("w_in", 1.0)) * e
                self.i_e += rounds(3, (kept, arriving), (kept + arriving,))
                self.i = kept + arriving
                x, e = self.i, self.i_e
            k = self.rate("tau" if "tau" in node else "tau_mem")
            drive, leak = k * node["r"], k * node["v_leak"]
            h = before + k * (node["v_leak"] - before + node["r"] * x)
        also = (k * before, before - k * before, drive * x - k * before, h)
        e = np.abs(1.0 - k) * self.e + np.abs(drive) * e
        return h, e + rounds(6, (before, before, drive * x, leak), also)

    def step(self, x, e):
        """Output of one step, and its bound."""
        if self.v.shape != x.shape:  # one value for the whole layer
            once = (len(x), *[1] * (x.ndim - 1))
            states = (np.broadcast_to(s.reshape(once), x.shape) for s in (self.i, self.v, self.i_e, self.e))
            self.i, self.v, self.i_e, self.e = states
        if self.kind == "Delay":
            self.past = [*self.past[1:], (x, e)]
            out, bounds = np.zeros_like(x), np.zeros_like(x)
            for steps in np.unique(self.steps):
                now, late = self.steps == steps, self.past[-1 - steps]
                out, bounds = np.where(now, late[0], out), np.where(now, late[1], bounds)
            return out, bounds
        threshold = self.node.get("v_threshold", self.node.get("threshold"))
        before = self.v
        h, self.e = (x, e) if self.kind == "Threshold" else self.charge(x, e)
        if threshold is None:
            self.v = h
            return h, self.e
        return self.fire(h, before, np.asarray(threshold, dtype=float)), np.zeros_like(x)

    def fire(self, h, before, threshold):
        """Spikes of the charged membrane `h`, and its reset; `before` is the membrane before the input."""
        reset = self.node.get("reset", self.semantics["reset"]) if self.kind != "Threshold" else "none"
        v_reset = np.asarray(self.node.get("v_reset", 0.0), dtype=float)
        drop = threshold - v_reset

        def fires(v):
            return v > threshold if self.semantics["fires_at"] == ">" else v >= threshold

        if reset == "zero-next":
            h, self.e = np.where(fires(before), v_reset, h), np.where(fires(before), 0.0, self.e)
        elif reset == "subtract-next":
            h = h - fires(before) * drop
        decisive = h - fires(before) * drop if reset == "subtract-raised" else h
        spikes = fires(decisive).astype(float)
        several = self.semantics["spikes"] != "one" and self.kind != "Threshold"
        half = 0.5 if self.semantics["spikes"] == "rounded" else 0.0
        if several:
            ratio, most = h / threshold + half, self.semantics["levels"] or np.inf
            whole = np.ceil(ratio) - 1 if self.semantics["fires_at"] == ">" else np.floor(ratio)
            spikes = np.clip(whole, 0, most)
            decisive = h - threshold * (np.clip(np.rint(ratio), 1, most) - half - 1)
        width = self.e + (self.e > 0) * rounds(1, (threshold,))
        if several:
            width = width + (decisive != threshold) * 2 * UNIT * (np.abs(h) + half * threshold)
        self.near |= ((width > 0) & (np.abs(decisive - threshold) <= width)).reshape(len(h), -1).any(1)
        if reset in ("subtract", "subtract-raised"):
            h = h - spikes * drop
            self.e = self.e + (spikes > 0) * rounds(1, (h, spikes * drop))
        elif reset == "zero":
            h, self.e = np.where(spikes > 0, v_reset, h), np.where(spikes > 0, 0.0, self.e)
        self.v = h if self.semantics["v_min"] is None else np.maximum(h, self.semantics["v_min"])
        return spikes


def ordered(nodes, edges):
    """Node names, each after the sources of its `edges`."""
    order, waiting = [], dict.fromkeys(nodes)
    while waiting:
        ready = [n for n in waiting if not any(b == n and a in waiting for a, b in edges)]
        if not ready:
            raise SystemExit(f"FAIL the graph has loops that it does not explain: {', '.join(waiting)}")
        order += ready
        for name in ready:
            del waiting[name]
    return order


def run(path, frames):
    """Outputs `[T, B, ...]` for `frames [T, B, ...]`, the samples near a threshold, and the semantics."""
    nodes, edges, feedback, semantics = read(path)
    forward = [edge for edge in edges if edge not in feedback]
    order = ordered(nodes, forward)
    functions = {name: stateless(nodes[name]) for name in order}
    batch = frames.shape[1]
    neurons = {name: Neuron(nodes[name], semantics, batch) for name in order if functions[name] is None}
    sink = next(name for name in order if nodes[name]["type"] == "Output")
    previous = {name: (np.zeros_like(neuron.v),) * 2 for name, neuron in neurons.items()}
    outputs = []
    for frame in frames.astype(float):
        now = {}
        for name in order:
            if nodes[name]["type"] == "Input":
                now[name] = frame, np.zeros_like(frame)
                continue
            terms = [now[a] for a, b in forward if b == name]
            terms += [previous[a] for a, b in edges if b == name and (a, b) in feedback]
            size, quantum = sum(np.abs(x) for x, _ in terms), min(grid(x) for x, _ in terms)
            x, e = sum(x for x, _ in terms), sum(e for _, e in terms) + bound(size, len(terms) - 1, quantum)
            now[name] = functions[name](x, e) if name not in neurons else neurons[name].step(x, e)
        previous = now
        outputs.append(now[sink][0])
    near = np.any([n.near for n in neurons.values()], axis=0) if neurons else np.zeros(batch, bool)
    return np.stack(outputs), near, semantics


def main(arguments):
    """See the module's text."""
    path = HERE / "model.nir"
    if not path.is_file():
        fail(path.name, "there is no such file beside this script")
    if arguments:
        outputs, _, semantics = run(path, read_frames(arguments[0], input_shape(path)))
        for line in decisions(outputs, semantics["decode"], semantics["classes"]):
            print(line)
        return 0
    frames, expected = read_example("x", "nir_out")
    outputs, near, _ = run(path, frames)
    if outputs.shape != expected.shape:
        print(f"FAIL model.nir: outputs {outputs.shape}, expected {expected.shape}")
        return 1
    differing = ~(np.abs(outputs - expected) <= TOLERANCE * np.maximum(np.abs(expected), 1.0))
    samples = differing.swapaxes(0, 1).reshape(frames.shape[1], -1).any(1)
    passed = not (samples & ~near).any()
    word, met = "PASS" if passed else "FAIL", int((samples & near).sum())
    print(f"{word} model.nir: {int(differing.sum())} of {expected.size} outputs differ")
    if samples.any():
        print(f"     {met} of {int(samples.sum())} differing samples met a threshold.")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
