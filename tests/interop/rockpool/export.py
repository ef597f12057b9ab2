"""Runs in Rockpool's own environment: make networks, export them, and write what Rockpool computes.

python export.py FOLDER
"""

import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import nir  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from rockpool.nn.combinators import Sequential  # noqa: E402
from rockpool.nn.modules import ExpSynTorch, LIFNeuronTorch, LIFTorch, LinearTorch  # noqa: E402
from rockpool.nn.modules.torch.nir import to_nir  # noqa: E402

sys.path.append(str(Path(__file__).resolve().parents[3]))  # behind the peers: we are not installed here

from snn_deploy.graph.readers.record_trace import record_trace  # noqa: E402

STEPS, BATCH, INPUTS, HIDDEN, OUTPUTS = 40, 6, 12, 24, 20


def lif(count, limit, dt):
    return LIFTorch(
        count, tau_mem=torch.linspace(0.004, 0.03, count), tau_syn=0.007 * torch.ones(count, 1), dt=dt,
        bias=torch.zeros(count), max_spikes_per_dt=torch.tensor(limit),
    )  # fmt: skip


def membrane(count, limit, dt):
    return LIFNeuronTorch(
        count, tau_mem=0.012 * torch.ones(count), dt=dt, bias=torch.zeros(count),
        max_spikes_per_dt=torch.tensor(limit),
    )  # fmt: skip


def networks():
    """(name, module, how to read it, whether its outputs are no spikes)."""
    for spikes, limit in (("many", 2.0**16), ("one", 1.0)):
        for dt in (1e-3, 2e-3):
            for kind, neuron in (("LIFTorch", lif), ("LIFNeuronTorch", membrane)):
                net = Sequential(
                    LinearTorch((INPUTS, HIDDEN)), neuron(HIDDEN, limit, dt), LinearTorch((HIDDEN, OUTPUTS)),
                    neuron(OUTPUTS, limit, dt),
                )  # fmt: skip
                yield f"{kind} {spikes} {dt}", net, {} if spikes == "many" else {"spikes": "one"}, False
    net = Sequential(
        LinearTorch((INPUTS, OUTPUTS)), ExpSynTorch(OUTPUTS, tau=0.01 * torch.ones(OUTPUTS), dt=1e-3)
    )
    yield "ExpSynTorch", net, {}, True


@torch.no_grad()
def main(folder):
    """Write everything; see the module's text."""
    cases = []
    for number, (name, net, reading, graded) in enumerate(networks()):
        generator = torch.Generator().manual_seed(number)
        for key, parameter in net.named_parameters():
            if key.endswith("weight"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5 + 0.1)
        x = (torch.rand(STEPS, BATCH, INPUTS, generator=generator) < 0.4).float()
        graph = to_nir(net, torch.zeros(1, INPUTS))
        net.reset_state()
        wanted = net(x.transpose(0, 1))[0].transpose(0, 1)
        nir.write(folder / f"{name}.nir", graph)
        np.savez(folder / f"{name}.npz", x=x.numpy(), wanted=wanted.numpy())
        if not graded:
            record_trace(net, x, folder / f"{name}.trace.npz")
        cases.append({"name": name, "reading": reading, "graded": graded})
    (folder / "cases.json").write_text(json.dumps(cases))


main(Path(sys.argv[1]))
