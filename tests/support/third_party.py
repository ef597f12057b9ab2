"""Structures of NIR graphs that others published or that their exporters write, rebuilt from descriptions.

Types, shapes, names and quirks are theirs, the weights are random: the graphs of the NIR paper (Pedersen et
al., Nature Communications 15, 2024) and of the NIR repository's examples, and what the exporters of snnTorch,
Norse, sinabs, Rockpool, SpikingJelly, Spyx and lava-dl make of usual networks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import nir
import numpy as np

from snn_deploy.graph.timing import Reading
from support.graphs import graph

Nodes = dict[str, nir.NIRNode]
NOTHING = Reading()


@dataclass(frozen=True)
class Row:
    """A structure; ``target`` is its output shape when it opens, ``refused`` a pattern of the reason else.

    ``old``: written as a NIR library before 1.0.6 did, without v_reset. ``notes``: words of what is assumed.
    """

    name: str
    make: Callable[[], nir.NIRGraph]
    target: tuple[int, ...] = ()
    refused: str = ""
    reading: Reading = NOTHING
    notes: tuple[str, ...] = ()
    old: bool = False
    damage: Callable[[object], None] | None = None


class _Random:
    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """The same numbers again, whatever was drawn before."""
        self._rng = np.random.default_rng(1)

    def __call__(self, *shape: int, lift: float = 0.15) -> np.ndarray:
        scale = 1.5 / np.sqrt(np.prod(shape[1:]))
        return ((self._rng.normal(size=shape) + lift) * scale).astype(np.float32)


R = _Random()


def full(value: float, *shape: int) -> np.ndarray:
    return np.full(shape, value, np.float32)


def affine(out: int, inputs: int) -> nir.Affine:
    return nir.Affine(R(out, inputs), R(out, 1)[:, 0] / 10)


def linear(out: int, inputs: int) -> nir.Linear:
    return nir.Linear(R(out, inputs))


def conv(out: int, inputs: int, size, kernel=3, *, stride=1, padding=1, groups=1) -> nir.Conv2d:
    weight = R(out, inputs // groups, *((kernel, kernel) if isinstance(kernel, int) else kernel))
    pads = padding if isinstance(padding, str) else (padding, padding)
    return nir.Conv2d(size, weight, (stride, stride), pads, (1, 1), groups, np.zeros(out, np.float32))


def fire(*shape: int) -> nir.IF:
    return nir.IF(full(1, *shape), full(1, *shape))


def lif(*shape: int, dt: float = 1e-4, steps: float = 4.0, r: float | None = None) -> nir.LIF:
    return nir.LIF(
        full(steps * dt, *shape), full(steps if r is None else r, *shape), full(0, *shape), full(1, *shape)
    )


def cuba(*shape: int, dt: float = 1e-4, w_in: float | None = 2.5) -> nir.CubaLIF:
    given = {} if w_in is None else {"w_in": full(w_in, *shape)}
    return nir.CubaLIF(full(2.5 * dt, *shape), full(5 * dt, *shape), full(5, *shape), full(0, *shape),
                       full(1, *shape), **given)  # fmt: skip


def pool(kind=nir.SumPool2d, size: int = 2) -> nir.NIRNode:
    return kind(np.array([size, size]), np.array([size, size]), np.array([0, 0]))


def flat(*shape: int, start: int = 0) -> nir.Flatten:
    return nir.Flatten({"input": np.array(shape)}, start, -1)


def joined(nodes: Nodes, source: Sequence[int], target: Sequence[int], edges=None, more=()) -> nir.NIRGraph:
    path = ["input", *nodes, "output"]
    return graph(nodes, [*(itertools.pairwise(path) if edges is None else edges), *more], source, target)


def numbered(layers: Sequence[nir.NIRNode], source, target, prefix: str = "") -> nir.NIRGraph:
    return joined({f"{prefix}{n}": layer for n, layer in enumerate(layers)}, source, target)


def nmnist(start: int = 0, batch: bool = False) -> nir.NIRGraph:
    """The paper's CNN, smaller: sinabs 1 wrote IF with r = 1; an old file has a batch axis in its neurons."""
    lead = (1,) if batch else ()
    layers = [
        conv(8, 2, (18, 18), 5, stride=2),
        fire(*lead, 8, 8, 8),
        conv(8, 8, (8, 8)),
        fire(*lead, 8, 8, 8),
        pool(),
        flat(8, 4, 4, start=start),
        affine(20, 128),
        fire(*lead, 20),
        affine(10, 20),
        fire(*lead, 10),
    ]
    return numbered(layers, (2, 18, 18), (10,))


def looped(neuron: nir.NIRNode, rec: nir.NIRNode, size: int) -> nir.NIRGraph:
    """Recurrent neurons as snnTorch nests them."""
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    return graph({"lif": neuron, "w_rec": rec}, edges, (size,), (size,))


def braille(form: str) -> nir.NIRGraph:
    """12 inputs, 38 recurrent CUBA neurons, 7 outputs, in the forms of the paper's files."""
    rec = linear(38, 38) if "no bias" in form else affine(38, 38)
    if "nested" in form:
        hidden, edges = {"lif1": looped(cuba(38), rec, 38)}, [("fc1", "lif1"), ("lif1", "fc2")]
    else:
        hidden = {"lif1.lif": cuba(38), "lif1.w_rec": rec}
        edges = [
            ("fc1", "lif1.lif"),
            ("lif1.lif", "lif1.w_rec"),
            ("lif1.w_rec", "lif1.lif"),
            ("lif1.lif", "fc2"),
        ]
    if "repeated" in form:
        edges.append(("fc2", "lif2"))
    nodes = {"fc1": affine(38, 12), **hidden, "fc2": affine(7, 38), "lif2": cuba(7)}
    return joined(nodes, (12,), (7,), [("input", "fc1"), *edges, ("fc2", "lif2"), ("lif2", "output")])


def single(weights: nir.NIRNode) -> nir.NIRGraph:
    """tau = 2.5 ms, threshold 0.1."""
    return joined(
        {"0": weights, "1": nir.LIF(full(1 / 400, 1), full(1, 1), full(0, 1), full(0.1, 1))}, (1,), (1,)
    )


def rockpool_lif() -> nir.NIRGraph:
    made = single(nir.Linear(full(3, 1, 1)))
    made.nodes["output"] = nir.Output({"output": np.array([1, 1, 1])})
    return made


def doorless() -> nir.NIRGraph:
    return nir.NIRGraph({"0": affine(5, 4), "1": lif(5)}, [("0", "1")], type_check=False)


def two_inputs() -> nir.NIRGraph:
    made = joined({"a": affine(3, 2), "n": lif(3)}, (2,), (3,))
    made.nodes["second"] = nir.Input({"input": np.array([2])})
    made.edges.append(("second", "a"))
    return made


def resnet() -> nir.NIRGraph:
    """Two blocks of a SEW network: spikes of a block are added to what it was given."""
    n, c = {}, {}
    for i in range(3):
        c[f"conv{i}"], n[f"lif{i}"] = conv(4, 2 if i == 0 else 4, (6, 6)), lif(4, 6, 6)
    nodes = {k: v for i in range(3) for k, v in ((f"conv{i}", c[f"conv{i}"]), (f"lif{i}", n[f"lif{i}"]))}
    nodes |= {"flat": flat(4, 6, 6), "fc": linear(10, 144), "out": lif(10)}
    return joined(nodes, (2, 6, 6), (10,), more=[("lif0", "conv2"), ("lif1", "flat")])


def dangling() -> nir.NIRGraph:
    block = joined({"lif": lif(4)}, (4,), (4,), more=[("lif", "w_rec")])
    return joined({"block": block}, (4,), (4,))


def cut_off() -> nir.NIRGraph:
    """A public report: the neuron feeds itself only."""
    edges = [("input", "0"), ("0", "output"), ("1", "1")]
    return joined({"0": affine(4, 3), "1": lif(4)}, (3,), (4,), edges)


def delays() -> nir.NIRGraph:
    """A layer with a delay per channel before it, as SHD networks with learned delays have them."""
    late = nir.Delay(np.arange(6, dtype=np.float32) * 1e-3)
    return joined({"late": late, "fc1": linear(8, 6), "n1": cuba(8, dt=1e-3), "fc2": linear(4, 8),
                   "n2": cuba(4, dt=1e-3)}, (6,), (4,))  # fmt: skip


def no_type(file) -> None:
    """Roots of very old files do not say what they are."""
    del file["node/type"]
