"""Tiny networks with small whole numbers, one or more for every pass: what the golden texts are of."""

from __future__ import annotations

import itertools
from typing import Any

import nir
import numpy as np
import torch

from snn_deploy.export.onnx_int8 import Int8
from snn_deploy.graph.lava.net import Cuba, Dense, Input, LavaNet
from snn_deploy.graph.passes.fold_batchnorm import ChannelAffine, FoldBatchNorm
from snn_deploy.graph.passes.for_readers.channels_last import ChannelsLast
from snn_deploy.graph.passes.for_readers.encoding import PortableEncoding
from snn_deploy.graph.passes.for_readers.for_reader import DepthFirst, ForReader
from snn_deploy.graph.passes.for_readers.plain_convs import PlainConvolutions
from snn_deploy.graph.passes.for_readers.pooling import Pooling
from snn_deploy.graph.passes.for_readers.thresholds import ThresholdBelow
from snn_deploy.graph.passes.micro_steps.expand import MicroSteps
from snn_deploy.graph.passes.micro_steps.whole_numbers import WholeNumbers
from snn_deploy.graph.passes.protocol import Pass
from snn_deploy.graph.passes.quantize.quantize import Quantize
from snn_deploy.graph.passes.to_chip.from_lava import FromLava
from snn_deploy.graph.passes.to_chip.input_grid import InputGrid
from snn_deploy.graph.passes.to_chip.loihi import Lower
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.graph.trained_form import TrainedForm
from support.graphs import graph, lif


def row(nodes: dict[str, nir.NIRNode], source, target, **semantics) -> nir.NIRGraph:
    """``nodes`` one behind another between ``input`` and ``output``."""
    made = graph(nodes, list(itertools.pairwise(["input", *nodes, "output"])), source, target)
    write_semantics(made, Semantics(**semantics))
    return made


def dense(*rows: list[float], bias: list[float] | None = None) -> nir.NIRNode:
    """``Linear``, or with ``bias`` ``Affine``."""
    weight = np.array(rows, np.float32)
    return nir.Linear(weight) if bias is None else nir.Affine(weight, np.array(bias, np.float32))


def conv2d(weight: list[Any], bias: list[float], padding=(0, 0), groups: int = 1) -> nir.Conv2d:
    weight, bias = np.array(weight, np.float32), np.array(bias, np.float32)
    return nir.Conv2d(None, weight, (1, 1), padding, (1, 1), groups, bias)


def pool2d(kind: type[nir.NIRNode]) -> nir.NIRNode:
    return kind(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))


def norm(scale: list[float], shift: list[float]) -> ChannelAffine:
    return ChannelAffine(np.array(scale, np.float64), np.array(shift, np.float64))


def flat() -> nir.Flatten:
    return nir.Flatten({"input": None}, 0, -1)


def _loose() -> nir.NIRGraph:
    """Scalar parameters, a window and axes said once, the doors under other names."""
    nodes = {
        "n": nir.LIF(*(np.float64(v) for v in (2e-4, 2.0, 0.0, 1.0, 0.0))),
        "same": nir.Conv2d(None, np.ones((1, 1, 3, 3)), 1, "same", 1, 1, np.zeros(1)),
        "pool": nir.AvgPool2d(np.array(2), np.array(2), np.array(0)),
        "flat": flat(),
    }
    made = row(nodes, (1, 4, 4), (4,))
    made.nodes["frames"], made.nodes["classes"] = made.nodes.pop("input"), made.nodes.pop("output")
    made.edges = list(itertools.pairwise(["frames", *nodes, "classes"]))
    return made


def _shortcut() -> nir.NIRGraph:
    nodes = {"n": lif((2,)), "a": dense([1, 0], [0, 1]), "m": lif((2,))}
    edges = [("input", "n"), ("n", "a"), ("a", "m"), ("n", "m"), ("m", "output")]
    return graph(nodes, edges, (2,), (2,))


def _cuba() -> nir.CubaLIF:
    values = {"tau_syn": 2e-4, "tau_mem": 2e-4, "r": 2.0, "v_leak": 0.0, "v_threshold": 3.0, "w_in": 2.0}
    return nir.CubaLIF(**{name: np.full(1, value) for name, value in values.items()})


def _lif_of_gain_1() -> nir.LIF:
    values = {"tau": 2e-4, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
    return nir.LIF(**{name: np.full(2, value) for name, value in values.items()})


def _if(shape: tuple[int, ...], threshold: float) -> nir.IF:
    """Adds its input as it is: r dt = 1."""
    return nir.IF(np.full(shape, 1e4), np.full(shape, float(threshold)), np.zeros(shape))


def _pooled() -> nir.NIRGraph:
    nodes = {
        "pool": pool2d(nir.AvgPool2d),
        "conv": conv2d([[[[4]]]], [1]),
        "n": _if((1, 2, 2), 2),
        "flat": flat(),
        "fc": dense([1, 2, 3, 4]),
    }
    return row(nodes, (1, 4, 4), (1,), fires_at=">=", timesteps=2)


def _skip() -> nir.NIRGraph:
    nodes = {
        "in": dense([1, 0], [0, 1]),
        "a": _if((2,), 1),
        "fc": dense([2, 0], [0, 3]),
        "b": _if((2,), 1),
        "short": dense([5, 6]),
        "long": dense([1, 1]),
        "c": _if((1,), 4),
    }
    edges = [("input", "in"), ("in", "a"), ("a", "fc"), ("fc", "b"), ("b", "long"), ("long", "c")]
    made = graph(nodes, [*edges, ("a", "short"), ("short", "c"), ("c", "output")], (2,), (1,))
    write_semantics(made, Semantics(fires_at=">="))
    return made


def _loop() -> nir.NIRGraph:
    """a sees itself, and the second input two steps later; b sees a one step later."""
    nodes = {
        "late": nir.Delay(np.array([0, 2e-4])),
        "fc": dense([2, 4], [6, 8], bias=[1, 0]),
        "a": _if((2,), 5),
        "back": dense([1, -1], [0, 3], bias=[0, 2]),
        "later": nir.Delay(np.array([1e-4, 1e-4])),
        "out": dense([5, 6]),
        "b": _if((1,), 4),
    }
    edges = [("input", "late"), ("late", "fc"), ("fc", "a"), ("a", "back"), ("back", "a"), ("a", "later")]
    edges += [("later", "out"), ("out", "b"), ("b", "output")]
    made = graph(nodes, edges, (2,), (1,))
    write_semantics(made, Semantics(fires_at=">="))
    return made


def _delayed() -> LavaNet:
    """Delays of inputs, of neurons, and of single synapses."""
    neuron = Cuba.of(4096, 0, 5)
    first = Dense(np.array([[2, 4], [-2, 6]]), neuron, np.array([1, 0]), delay=np.array([[0, 3], [0, 3]]))
    second = Dense(np.array([[2, 4], [-2, 6]]), neuron, delay=np.array([[1, 1], [2, 2]]))
    third = Dense(np.array([[8, 2], [4, 6]]), neuron, np.array([0, 7]), delay=np.array([[0, 3], [3, 0]]))
    return LavaNet((Input((2,)), first, second, third), ("a", "b", "c"))


def _integers(fc: nir.NIRNode, threshold: float) -> nir.NIRGraph:
    """One neuron that fires 0 to 2 spikes in each of 2 steps, and a current that is read."""
    nodes = {"fc": fc, "n": _if((1,), threshold), "out": dense([0.5])}
    rule = {"fires_at": ">=", "reset": "subtract", "spikes": "rounded", "levels": 2}
    return row(nodes, (2,), (1,), timesteps=2, **rule)


def _net() -> LavaNet:
    """Two dense layers; the second leaks half of its voltage per step and feeds itself."""
    first = Dense(np.array([[2, 4], [-2, 6]]), Cuba.of(4096, 0, 5), bias=np.array([1, 0]))
    second = Dense(np.array([[8, 2]]), Cuba.of(4096, 2048, 9), recurrent=np.array([[4]]))
    return LavaNet((Input((2,)), first, second), ("a", "b"), timesteps=3)


TRAINED = TrainedForm("loihi2", 8, {"n": 8.0}, {"fc": 2.0}, InputGrid(1.0, (0, 1), 0.0))
QUANTIZE = Quantize(torch.ones(2, 1, 1, 4, 4), {"n": torch.ones(2, 1, 1, 2, 2)}, trained=TRAINED)
CASES: dict[str, tuple[Pass[Any, Any], Any]] = {
    "whole_numbers": (WholeNumbers(bits=4), _integers(dense([1, -0.5], bias=[0.25]), 1)),
    "micro_steps": (MicroSteps(), _integers(dense([14, -8], bias=[4]), 14)),
    "fold_batchnorm_behind_weights": (
        FoldBatchNorm(),
        row({"fc": dense([1, 2], [3, 4]), "norm": norm([2, -1], [1, 5]), "n": lif((2,))}, (2,), (2,)),
    ),
    "fold_batchnorm_before_weights": (
        FoldBatchNorm(),
        row(
            {"n": lif((2,)), "norm": norm([2, 3], [1, -1]), "fc": dense([1, 1], [0, 2], bias=[1, 0])},
            (2,),
            (2,),
        ),
    ),
    "sum_pooling": (
        Pooling("sum"),
        row(
            {"pool": pool2d(nir.AvgPool2d), "flat": flat(), "fc": dense([4, 8, 12, 16]), "n": lif((1,))},
            (1, 4, 4),
            (1,),
        ),
    ),
    "average_pooling": (
        Pooling("average"),
        row(
            {"conv": conv2d([[[[2]]]], [1]), "pool": pool2d(nir.SumPool2d), "n": lif((1, 2, 2))},
            (1, 4, 4),
            (1, 2, 2),
        ),
    ),
    "plain_convolutions_groups": (
        PlainConvolutions(square=True),
        row(
            {
                "conv": conv2d([[[[1]]], [[[2]]], [[[3]]], [[[4]]]], [5, 6, 7, 8], groups=2),
                "n": lif((4, 2, 2)),
            },
            (2, 2, 2),
            (4, 2, 2),
        ),
    ),
    "plain_convolutions_kernel": (
        PlainConvolutions(square=True),
        row(
            {"conv": conv2d([[[[1, 2, 3]]]], [0], padding=(0, 1)), "n": lif((1, 3, 3))}, (1, 3, 3), (1, 3, 3)
        ),
    ),
    "depth_first_edges": (DepthFirst(), _shortcut()),
    "channels_last": (
        ChannelsLast(),
        row({"flat": flat(), "fc": dense([0, 1, 2, 3]), "n": lif((1,))}, (2, 1, 2), (1,)),
    ),
    "threshold_below": (
        ThresholdBelow(),
        row({"fc": dense([1, 2]), "n": lif((1,))}, (2,), (1,), fires_at=">=", timesteps=4),
    ),
    "portable_encoding": (PortableEncoding(), _loose()),
    "flavour_norse": (
        ForReader("norse"),
        row({"fc": dense([1, 2], [3, 4]), "n": _lif_of_gain_1()}, (2,), (2,), fires_at=">="),
    ),
    "lower_pooling": (Lower(), _pooled()),
    "lower_skip_path": (Lower(), _skip()),
    "lower_loop_and_delays": (Lower(), _loop()),
    "graph_of_delays": (FromLava(), _delayed()),
    "quantise": (QUANTIZE, Lower()(_pooled())),
    "graph_of_a_net_file": (FromLava(), _net()),
    "int8": (
        Int8(torch.tensor([[[0.0, 0.5]], [[1.0, 1.5]]])),
        row({"fc": dense([127, -1], [0.5, 254], bias=[10, 1.5])}, (2,), (2,)),
    ),
    "flavour_sinabs": (
        ForReader("sinabs"),
        row({"fc": dense([1, 2]), "n": _cuba()}, (2,), (1,), fires_at=">="),
    ),
}
"""Per golden text, the pass and the network before it."""
