"""Counting synaptic operations: our counters, spikingjelly, NeuroBench and syops on one network and input.

    PYTHONPATH=tests python tests/support/other_counters.py     # NeuroBench and syops, into .interop
    PYTHONPATH=tests python benchmarks/counting.py [--rounds N] [--markdown FILE]

One thread; each tool is a process of its own, all take turns. Growth of memory is of a fresh process' peak.
The exact count is that of float64 convolutions of ones over the recorded inputs of every layer.
"""

from __future__ import annotations

import argparse
import copy
import io
import os
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import torch
from bench import Table, conditions
from cells import COLUMNS, OURS, add_rows, reach, serve, take_turns
from spikingjelly.activation_based import functional, layer, neuron
from support import other_counters
from torch import nn

from snn_deploy.energy.count import Counter
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.simulate.reference import Reference
from snn_deploy.synapses.live import EventCounter

SHAPE, STEPS, BATCH, LONG = (2, 64, 64), 8, 4, 100


class Residual(nn.Module):
    """x + depthwise 3 x 3, neurons, 1 x 1, neurons: the sum is graded."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = layer.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.bn1, self.neuron1 = layer.BatchNorm2d(width), neuron.LIFNode()
        self.pointwise = layer.Conv2d(width, width, 1, bias=False)
        self.bn2, self.neuron2 = layer.BatchNorm2d(width), neuron.LIFNode()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.neuron2(self.bn2(self.pointwise(self.neuron1(self.bn1(self.depthwise(x))))))


def network(width: int = 32) -> nn.Module:
    """conv3, strided conv3, residual, grouped strided conv3, average pool, linear."""
    torch.manual_seed(0)

    def conv(inputs: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        part = layer.Conv2d(inputs, width, 3, stride, 1, groups=groups, bias=False)
        return [part, layer.BatchNorm2d(width), neuron.LIFNode()]

    side = SHAPE[1] // 8
    parts = [*conv(2), *conv(width, 2), Residual(width), *conv(width, 2, 4)]
    tail = [layer.AvgPool2d(2, 2), layer.Flatten(), layer.Linear(width * side * side, 10), neuron.LIFNode()]
    made = nn.Sequential(*parts, *tail).eval()
    for module in made.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            module.weight.data.mul_(2.5).add_(0.01)
    functional.set_step_mode(made, "m")
    return made


def blobs(steps: int) -> torch.Tensor:
    """A disc that moves over the frame, ON before it and OFF behind it, with 1 % of noise: 0 or 1."""
    generator = torch.Generator().manual_seed(1)
    rows, columns = torch.meshgrid(*[torch.arange(float(n)) for n in SHAPE[1:]], indexing="ij")
    frames = torch.zeros(steps, BATCH, *SHAPE)
    for t in range(steps):
        for b in range(BATCH):
            centre = 12 + 40 * (t / max(steps - 1, 1)), 14 + 9 * b
            disc = ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) < 81
            frames[t, b, 0] = (disc & (columns > centre[1])).float()
            frames[t, b, 1] = (disc & (columns <= centre[1])).float()
    return ((frames + (torch.rand(frames.shape, generator=generator) < 0.01)) > 0).float()


def plain(made: nn.Module, x: torch.Tensor) -> None:
    """One pass from zero state."""
    functional.reset_net(made)
    made(x)


def exact(made: nn.Module, x: torch.Tensor) -> dict[str, int]:
    """Per weighted module: ones in place of weights and of what is not zero, in float64."""
    found: dict[str, int] = {}

    def hook(name: str, part: nn.Module) -> Callable[..., None]:
        ones = copy.deepcopy(part).double()
        ones.weight.data.fill_(1)
        ones.bias = None

        def count(_module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            found[name] = found.get(name, 0) + int(ones((inputs[0] != 0).double()).sum())

        return count

    parts = [(n, m) for n, m in made.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [module.register_forward_pre_hook(hook(name, module)) for name, module in parts]
    plain(made, x)
    for handle in handles:
        handle.remove()
    return found


def ours(counter: EventCounter, made: nn.Module, x: torch.Tensor) -> float:
    """All events, by our live counter."""
    functional.reset_net(made)
    counter.reset()
    with counter:
        made(x)
    return counter.counts(samples=1).total


def spikingjelly(made: nn.Module, x: torch.Tensor) -> float:
    """All events, by SynOpCounter."""
    from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter

    functional.reset_net(made)
    counter = SynOpCounter()
    with DispatchCounterMode([counter]):
        made(x)
    return counter.get_total()


def neurobench(made: nn.Module, x: torch.Tensor) -> float:
    """All events, by SynapticOperations: MACs and ACs."""
    model = other_counters.load("neurobench.models").TorchModel(made)
    metric = other_counters.load("neurobench.metrics.workload").SynapticOperations()
    functional.reset_net(made)
    model.register_hooks()
    predictions = model(x)
    found = metric(model, predictions, (x.transpose(0, 1), None))
    model.cleanup_hooks()
    return (found["Effective_MACs"] + found["Effective_ACs"]) * x.shape[1]


class Stepped(nn.Module):
    """For syops: batch first, single steps, and torch's own layers, since it looks up exact types."""

    def __init__(self, made: nn.Module) -> None:
        super().__init__()
        self.made = copy.deepcopy(made)
        functional.set_step_mode(self.made, "s")
        for module in self.made.modules():
            if type(module).__module__.startswith(layer.__name__):
                module.__class__ = getattr(nn, type(module).__name__)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum(self.made(step) for step in x.transpose(0, 1))  # type: ignore[return-value]


def syops(made: Stepped, x: torch.Tensor) -> float:
    """All events of convolutions and linear layers: MACs and ACs."""
    module = other_counters.load("syops")
    functional.reset_net(made)
    silent = dict.fromkeys((nn.BatchNorm2d, nn.AvgPool2d, neuron.LIFNode), _nothing)
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, _ = module.get_model_complexity_info(
            made, SHAPE, [(x.transpose(0, 1), 0)], print_per_layer_stat=False, as_strings=False,
            custom_modules_hooks=silent,
        )  # fmt: skip
    return float(found[1] + found[2]) * x.shape[1]


def _nothing(module: nn.Module, _inputs: object, _output: object) -> None:
    module.__syops__ += 0.0


def graph(made: nn.Module) -> tuple[Reference, Counter]:
    """The reference simulator of the exported graph, and its counter."""
    plan = make_plan(from_torch(made, SHAPE, semantics=Semantics()))
    return Reference(plan), Counter(plan)


LIVE, GRAPH = "ours, live", "ours, graph"
ELSEWHERE = ("NeuroBench SynapticOperations", "syops")
GROUPS = {
    "plain forward": ("plain forward", LIVE, "spikingjelly SynOpCounter", ELSEWHERE[0]),
    "reference simulator": ("reference simulator", GRAPH, "plain forward, step by step", ELSEWHERE[1]),
}
"""Counters beside what they count: a pass of all steps at once, or our graph and step by step."""


def runs(steps: int) -> dict[str, Callable[[], object]]:
    """Everything that is measured, by name."""
    made, x = network(), blobs(steps)
    stepped, (reference, counter), live = Stepped(made), graph(made), EventCounter(made)

    def step_by_step() -> None:
        functional.reset_net(stepped)
        stepped(x.transpose(0, 1))

    found: dict[str, Callable[[], object]] = {
        "plain forward": lambda: plain(made, x),
        LIVE: lambda: ours(live, made, x),
        "spikingjelly SynOpCounter": lambda: spikingjelly(made, x),
        ELSEWHERE[0]: lambda: neurobench(made, x),
        "plain forward, step by step": step_by_step,
        ELSEWHERE[1]: lambda: syops(stepped, x),
        "reference simulator": lambda: reference.run(x),
        GRAPH: lambda: int(counter.run(reference, x).sops().sum()),
    }
    return found


def growth(name: str) -> float:
    """MiB by which the peak of a fresh process grows over ``LONG`` steps."""
    command = [sys.executable, __file__, "--grow", name]
    # What is freed goes back at once, so that the peak is that of what is alive.
    limits = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | limits)
    return float(done.stdout.split()[-1])


def grow(name: str) -> None:
    """In the fresh process: a short run first, so that libraries and caches are there."""
    runs(1)[name]()
    run = runs(LONG)[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def cell(name: str) -> None:
    """Serve one way; its digest is how many events it counts."""
    run = runs(STEPS)[name]
    count = run()
    serve(run, f"{round(count)}" if isinstance(count, int | float) else "")


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--grow", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    if options.grow:
        grow(options.grow)
        return
    if options.cell:
        cell(options.cell)
        return
    total = sum(exact(network(), blobs(STEPS)).values())
    here = other_counters.here()
    names = [name for group in GROUPS.values() for name in group if here or name not in ELSEWHERE]
    cells = {name: ("--cell", name) for name in names}
    found = take_turns(Path(__file__), cells, options.rounds, os.environ | {"OMP_NUM_THREADS": "1"})
    table = Table(
        "Counting synaptic operations",
        f"{conditions('torch', 'spikingjelly', 'snntorch', threads=1)} "
        f"{', '.join(other_counters.PACKAGES) if here else 'NeuroBench, syops: not here'}.\n"
        f"{STEPS} steps, batch {BATCH}, input {SHAPE}; exact: {total:,} events. Milliseconds, "
        f"{options.rounds} rounds by turns.",
        *("beside", "counter", *COLUMNS),
    )
    for base, group in GROUPS.items():
        rows = {
            OURS if name in (LIVE, GRAPH) else name: found[name]._replace(digest="")
            for name in group
            if name in found
        }
        add_rows(table, [base], rows, floors=[base])
    for name, one in found.items():
        if one.digest:
            away = f"{100 * (int(one.digest) / total - 1):+.2f} %" if int(one.digest) != total else "exact"
            memory = f"over {LONG} steps its memory grows by {growth(name):.0f} MiB"
            table.say(f"{name}: {int(one.digest):,} events, {away}; {memory}.")
    reach(table, "a forward pass beside the counted one, live", found["plain forward"], found[LIVE], 1 / 1.1)
    table.close(options.markdown)


if __name__ == "__main__":
    main()
