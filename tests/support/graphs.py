"""Small NIR graphs and made-up traces."""

from __future__ import annotations

import itertools

import nir
import numpy as np
import torch

from snn_deploy.graph.types import Plan, Trace


def lif(shape: tuple[int, ...]) -> nir.LIF:
    one = np.ones(shape, np.float32)
    return nir.LIF(tau=2e-4 * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)


def graph(nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]], source, target) -> nir.NIRGraph:
    """A graph with the nodes ``input`` and ``output`` added around ``nodes``."""
    return nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array(source)}),
            **nodes,
            "output": nir.Output({"output": np.array(target)}),
        },
        edges,
        type_check=False,
    )


def conv(out_channels: int, in_channels: int, size: int, *, kernel=3, stride=1, padding=1, groups=1, seed=0):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(out_channels, in_channels // groups, kernel, kernel)).astype(np.float32)
    bias = np.zeros(out_channels, np.float32)
    return nir.Conv2d((size, size), weight, stride, padding, 1, groups, bias)


def chain(*nodes: nir.NIRNode, source=(2, 8, 8), target=(2, 8, 8), more=()) -> nir.NIRGraph:
    """Nodes ``n0``, ``n1`` ... in a row, with ``more`` edges."""
    names = [f"n{i}" for i in range(len(nodes))]
    path = ["input", *names, "output"]
    return graph(dict(zip(names, nodes, strict=True)), [*itertools.pairwise(path), *more], source, target)


def pool(kind, padding=0):
    return kind(np.array([3, 3]), np.array([1, 1]), np.array([padding, padding]))


def replace_fields(node: nir.NIRNode, **fields) -> nir.NIRNode:
    values = {name: getattr(node, name) for name in ("tau", "r", "v_leak", "v_threshold", "v_reset")}
    return nir.LIF(**{**values, **fields})


def spike_trace(plan: Plan, x: torch.Tensor, *, rate: float = 0.2, seed: int = 0) -> Trace:
    """A trace with made-up spikes on every neuron node; pools and flattening are computed from them.

    Weight nodes hold zeros: what leaves them is no event, so counting must not look at it.
    """
    generator = torch.Generator().manual_seed(seed)
    T, B = x.shape[:2]
    records: dict[str, torch.Tensor] = {}
    for name in plan.order:
        node, shape = plan.node(name), plan.shapes[name]
        entering = None
        if plan.sources[name]:
            entering = torch.stack([records[source] for source in plan.sources[name]]).sum(0)
        if isinstance(node, nir.Input):
            records[name] = x
        elif isinstance(node, nir.AvgPool2d):
            flat = entering.flatten(0, 1)
            pooled = torch.nn.functional.avg_pool2d(flat, tuple(node.kernel_size), tuple(node.stride))
            records[name] = pooled.unflatten(0, (T, B))
        elif isinstance(node, nir.SumPool2d):
            kernel = tuple(int(k) for k in node.kernel_size)
            pooled = torch.nn.functional.avg_pool2d(
                entering.flatten(0, 1), kernel, tuple(node.stride), divisor_override=1
            )
            records[name] = pooled.unflatten(0, (T, B))
        elif isinstance(node, nir.Flatten):
            records[name] = entering.reshape(T, B, *shape)
        elif isinstance(node, nir.LIF | nir.IF | nir.CubaLIF | nir.Threshold):
            records[name] = (torch.rand(T, B, *shape, generator=generator) < rate).float()
        elif isinstance(node, nir.Scale):
            records[name] = entering * torch.as_tensor(node.scale)
        elif isinstance(node, nir.Output):
            records[name] = entering
        else:
            records[name] = torch.zeros(T, B, *shape)
    return Trace(output=records[plan.output], records=records)
