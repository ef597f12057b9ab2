"""Runs in sinabs' own environment: make networks, read the modules themselves, and compare spikes per layer.

python modules.py NIR, where NIR is the folder of a package nir that our reading works with: sinabs 3.1.3 asks
for nir 1.0.4 and uses it for its exporter only. Prints a JSON list of [name, outputs, differing, busiest].
With tau_syn, sinabs computes a (i + x) and we a i + a x: a is 1/2 and weights are multiples of 1/16 there, so
that neither rounds.
"""

import importlib.util
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TRIES, STEPS, SAMPLES, INPUTS, HIDDEN, OUTPUTS = 20, 12, 10, 12, 24, 20


def use_nir(folder):
    """Make the package in ``folder`` the module nir."""
    where = folder / "__init__.py"
    spec = importlib.util.spec_from_file_location("nir", where, submodule_search_locations=[str(folder)])
    module = importlib.util.module_from_spec(spec)
    sys.modules["nir"] = module
    spec.loader.exec_module(module)


use_nir(Path(sys.argv[1]))
sys.path.insert(0, str(ROOT))
import sinabs.layers as sl  # noqa: E402
import torch  # noqa: E402
from sinabs.activation import MembraneReset, MembraneSubtract, MultiSpike, SingleSpike  # noqa: E402
from sinabs.from_torch import from_model  # noqa: E402
from torch import nn  # noqa: E402

from snn_deploy.core.errors import UnsupportedError  # noqa: E402
from snn_deploy.graph.plan import make_plan  # noqa: E402
from snn_deploy.graph.readers.from_torch import read_module  # noqa: E402
from snn_deploy.graph.semantics import Semantics  # noqa: E402
from snn_deploy.models.module_executable import ModuleExecutable  # noqa: E402
from snn_deploy.simulate.reference import Reference  # noqa: E402

SPIKES = {"many": MultiSpike, "one": SingleSpike}
RESETS = {"subtract": MembraneSubtract(), "zero": MembraneReset()}


def iaf(_count, **how):
    return sl.IAFSqueeze(batch_size=1, **how)


def lif(count, **how):
    tau = torch.linspace(2.0, 9.0, count) if count > 3 else torch.tensor(4.0)
    return sl.LIFSqueeze(tau_mem=tau, num_timesteps=STEPS, **how)


def synaptic(_count, **how):
    return sl.LIFSqueeze(tau_mem=1.0, tau_syn=1.0, batch_size=2, train_alphas=True, **how)


def samples(_count, **how):
    return sl.LIF(tau_mem=3.0, **how)


def dense(neuron, **how):
    return nn.Sequential(
        nn.Linear(INPUTS, HIDDEN), neuron(HIDDEN, **how), nn.Linear(HIDDEN, OUTPUTS), neuron(OUTPUTS, **how)
    )


def convolving(neuron, **how):
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), neuron(3, **how), sl.SumPool2d(2), nn.Flatten(),
        nn.Linear(48, OUTPUTS), neuron(OUTPUTS, **how),
    )  # fmt: skip


class Merging(nn.Module):
    """Samples first, layers between them as rows, two branches merged."""

    def __init__(self):
        super().__init__()
        self.front = sl.Repeat(nn.Conv2d(2, 3, 3, padding=1))
        self.lif = sl.LIF(tau_mem=4.0)
        self.a, self.b, self.merge = nn.Linear(192, OUTPUTS), nn.Linear(192, OUTPUTS), sl.Merge()
        self.out = sl.IAF()

    def forward(self, x):
        h = self.lif(self.front(x)).flatten(2)
        return self.out(self.merge(self.a(h), self.b(h)))


def converted():
    """As sinabs converts an ANN."""
    ann = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, OUTPUTS), nn.ReLU()
    )
    return from_model(ann, batch_size=1, add_spiking_output=False).spiking_model


def folded():
    return nn.Sequential(
        sl.FlattenTime(), nn.Conv2d(2, 3, 3), sl.UnflattenTime(batch_size=2), sl.IAF(), sl.FlattenTime(),
        nn.Flatten(), nn.Linear(108, OUTPUTS), sl.UnflattenTime(batch_size=2), sl.LIF(tau_mem=3.0),
    )  # fmt: skip


def networks():
    """(name, how to make it, shape of a frame)."""
    frame, flat = (2, 8, 8), (INPUTS,)
    for many, spikes in SPIKES.items():
        for kind, reset in RESETS.items():
            for bound in (None, -1.0):
                how = {"spike_fn": spikes, "reset_fn": reset, "min_v_mem": bound}
                label = f"{many} {kind} {bound}"
                yield f"IAF {label}", lambda how=how: dense(iaf, **how), flat
                yield f"IAF conv {label}", lambda how=how: convolving(iaf, **how), frame
                yield f"LIF [B, T] {label}", lambda how=how: dense(samples, **how), flat
                for norm in (True, False):
                    told = {**how, "norm_input": norm}
                    yield f"LIF {label} {norm}", lambda told=told: dense(lif, **told), flat
                    yield f"LIF tau_syn {label} {norm}", lambda told=told: dense(synaptic, **told), flat
    for norm in (True, False):
        leak = {"tau_mem": 5.0, "norm_input": norm, "batch_size": 1}
        yield (
            f"IAF, ExpLeak {norm}",
            lambda leak=leak: nn.Sequential(
                nn.Linear(INPUTS, HIDDEN), iaf(HIDDEN), nn.Linear(HIDDEN, OUTPUTS), sl.ExpLeakSqueeze(**leak)
            ),
            flat,
        )
    yield "Repeat, Merge", Merging, frame
    yield "from_model", converted, frame
    yield "FlattenTime", folded, frame


def compare(make, shape, seed):
    """Outputs, and how many differ in any layer."""
    torch.manual_seed(seed)
    net = make()
    for name, parameter in net.named_parameters():
        if "weight" in name or "bias" in name:
            parameter.data = torch.round((torch.randn_like(parameter) * 0.8 + 0.1) * 16) / 16
        if "alpha" in name:
            parameter.data.fill_(0.5)
    x = (torch.rand(STEPS, SAMPLES, *shape) < 0.4).float()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    read = read_module(net, shape, semantics=Semantics(timesteps=STEPS))
    wanted = ModuleExecutable(net, read.calling, read.shapes).run(x, record=True)
    found = Reference(make_plan(read.graph)).run(x, record=True)
    after = net.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    differing = sum(int((found.records[path] != spikes).sum()) for path, spikes in wanted.records.items())
    differing += int((~torch.isclose(found.output, wanted.output, rtol=1e-5, atol=1e-5)).sum())
    outputs = sum(spikes.numel() for spikes in wanted.records.values())
    return outputs, differing, max(float((s != 0).float().mean()) for s in wanted.records.values())


def refusals():
    """(name, network, the same as the refusal says): the second is read."""
    yield "MaxSpike", sl.IAF(spike_fn=MaxSpikeOf(2)), sl.IAF(spike_fn=SingleSpike)
    yield "reset to 0.5", sl.IAF(reset_fn=MembraneReset(0.5)), sl.IAF(reset_fn=MembraneReset())
    yield "IAF tau_syn", sl.IAF(tau_syn=3.0), sl.LIF(tau_mem=100.0, tau_syn=3.0)
    yield "bound of ExpLeak", sl.ExpLeak(tau_mem=3.0, min_v_mem=-1.0), sl.ExpLeak(tau_mem=3.0)
    recurrent = sl.LIFRecurrent(tau_mem=3.0, rec_connect=nn.Linear(HIDDEN, HIDDEN))
    yield "LIFRecurrent", recurrent, sl.LIF(tau_mem=3.0)


def MaxSpikeOf(most):
    from sinabs.activation import MaxSpike

    return MaxSpike(most)


def refuse(wrong, right):
    """1 where ``wrong`` is not refused with a way out, or ``right`` is not read."""
    semantics = Semantics(timesteps=STEPS)
    front = nn.Linear(INPUTS, HIDDEN)
    read_module(nn.Sequential(front, right), (INPUTS,), semantics=semantics)
    try:
        read_module(nn.Sequential(front, wrong), (INPUTS,), semantics=semantics)
    except UnsupportedError as error:
        return int(not all(problem.try_instead for problem in error.problems))
    return 1


rows = []
for name, make, shape in networks():
    found = [compare(make, shape, seed) for seed in range(TRIES)]
    rows.append((name, sum(r[0] for r in found), sum(r[1] for r in found), max(r[2] for r in found)))
rows += [(f"refused: {name}", 1, refuse(*pair), 0.5) for name, *pair in refusals()]
print(json.dumps(rows))
