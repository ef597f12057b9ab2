"""Runs in sinabs' own environment: make networks, export them, and write what sinabs computes.

python export.py FOLDER
"""

import json
import sys
from pathlib import Path

import nir
import numpy as np
import sinabs.layers as sl
import torch
from sinabs.activation import MembraneReset, MembraneSubtract, MultiSpike, SingleSpike
from sinabs.nir import to_nir
from torch import nn

STEPS, BATCH, INPUTS, HIDDEN, OUTPUTS = 40, 6, 12, 24, 20
FUNCTIONS = {"many": MultiSpike, "one": SingleSpike, "subtract": MembraneSubtract(), "zero": MembraneReset()}


def firing(spikes, reset, bound):
    return {"spike_fn": FUNCTIONS[spikes], "reset_fn": FUNCTIONS[reset], "min_v_mem": bound}


def dense(neuron):
    return nn.Sequential(
        nn.Linear(INPUTS, HIDDEN), neuron(HIDDEN), nn.Linear(HIDDEN, OUTPUTS), neuron(OUTPUTS)
    )


def convolving(neuron):
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), neuron((3, 8, 8)), sl.SumPool2d(2), nn.Flatten(),
        nn.Linear(48, OUTPUTS), neuron(OUTPUTS),
    )  # fmt: skip


def iaf(**how):
    return lambda _shape: sl.IAFSqueeze(batch_size=BATCH, **how)


def lif(norm_input, **how):
    return lambda shape: sl.LIFSqueeze(
        tau_mem=torch.linspace(2.0, 9.0, shape), spike_threshold=torch.full((shape,), 1.0), batch_size=BATCH,
        norm_input=norm_input, **how,
    )  # fmt: skip


def folded(y):
    """``[B T, ...]`` as ``[T, B, ...]``."""
    return y.unflatten(0, (BATCH, STEPS)).transpose(0, 1)


def keeping(seen, label):
    def keep(_module, _x, y):
        seen[label] = folded(y)

    return keep


def networks():
    """(name, module, how to read it, whether its outputs are no spikes, shape of a frame)."""
    for spikes in ("many", "one"):
        for reset in ("subtract", "zero"):
            for bound in (None, -1.0):
                how = firing(spikes, reset, bound)
                reading = {"spikes": spikes, "reset": reset} | ({} if bound is None else {"v_min": bound})
                label = f"{spikes} {reset} {bound}"
                yield f"IAF {label}", dense(iaf(**how)), reading, False, (INPUTS,)
                yield f"IAF conv {label}", convolving(iaf(**how)), reading, False, (2, 8, 8)
                for norm in (True, False):
                    told = {**reading, "norm_input": norm}
                    yield f"LIF {label} {norm}", dense(lif(norm, **how)), told, False, (INPUTS,)
    yield "IAF defaults", dense(iaf()), {}, False, (INPUTS,)
    for norm in (True, False):
        leak = sl.ExpLeakSqueeze(tau_mem=torch.full((OUTPUTS,), 5.0), batch_size=BATCH, norm_input=norm)
        net = nn.Sequential(nn.Linear(INPUTS, OUTPUTS), leak)
        yield f"ExpLeak {norm}", net, {"norm_input": norm}, True, (INPUTS,)


@torch.no_grad()
def main(folder):
    """Write everything; see the module's text."""
    cases = []
    for number, (name, net, reading, graded, shape) in enumerate(networks()):
        generator = torch.Generator().manual_seed(number)
        for parameter in (p for n, p in net.named_parameters() if "weight" in n or "bias" in n):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.8 + 0.1)
        x = (torch.rand(STEPS, BATCH, *shape, generator=generator) < 0.4).float()
        flat = x.transpose(0, 1).flatten(0, 1)
        net(flat)
        graph = to_nir(net, flat)
        for node in graph.nodes.values():
            if isinstance(node, nir.Conv2d):
                node.input_shape = (8, 8)  # nir cannot write these two as sinabs leaves them
            if isinstance(node, nir.Flatten):
                node.input_type = {"input": np.array([3, 4, 4])}
        for module in net.modules():
            if hasattr(module, "reset_states"):
                module.reset_states()
        seen = {"x": x}
        for label, module in net.named_children():
            if hasattr(module, "reset_states"):
                module.register_forward_hook(keeping(seen, label))
        wanted = folded(net(flat))
        nir.write(folder / f"{name}.nir", graph)
        np.savez(folder / f"{name}.npz", x=x.numpy(), wanted=wanted.numpy())
        np.savez(folder / f"{name}.trace.npz", **{key: value.numpy() for key, value in seen.items()})
        cases.append({"name": name, "reading": reading, "graded": graded})
    (folder / "cases.json").write_text(json.dumps(cases))


main(Path(sys.argv[1]))
