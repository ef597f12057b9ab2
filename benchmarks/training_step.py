"""One training step of the quickstart student: ours against loops over time that compute the same loss.

    python benchmarks/training_step.py [--threads N] [--device cuda] [--batch 64] [--rounds N]
        [--markdown FILE]

A step is forward, TSER loss with the teacher's logits, backward and the optimiser's update, in float32, on
made-up frames of 2x16x16. Ways to write it:

    ours            layers in multi-step mode: all T x B frames go through a layer at once
    spikingjelly, multi-step  the same with spikingjelly's own multi-step neurons
    loop            how papers write it: a loop over T around the same layers in single-step mode
    spikingjelly, tutorial  its tutorials' loop: single-step, cross entropy of the mean output, no teacher
    snntorch        a loop over T around torch's layers and ``snntorch.Leaky``, same loss

The first two once more in bfloat16, ours with channels last as ``train.amp=on`` has it; spikingjelly's
membranes are bfloat16 then.

With batch norm in evaluation mode ours and the loop must give one loss to 1e-5 and one gradient to 1e-4, else
nothing is timed. In training a loop normalises every step by its own statistics, so there the losses differ.
Each way is a process of its own; all take turns. What the forward pass keeps for the backward pass, counted
once per storage, stands under the rows.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
from collections.abc import Callable
from pathlib import Path

import snntorch
import torch
from bench import Table, conditions
from cells import COLUMNS, OURS, add_rows, reach, serve, take_turns
from other_ways import Loop, spikingjelly_neurons
from spikingjelly.activation_based import functional
from torch import nn

from snn_deploy.core.memory import keep_freed_memory
from snn_deploy.core.registry import STUDENTS, TEACHERS
from snn_deploy.distill.methods.combined import build_method
from snn_deploy.distill.methods.method import Setting
from snn_deploy.distill.objective import DistillObjective
from snn_deploy.distill.step import channels_last, use_channels_last
from snn_deploy.recipes.recipe import Recipe, load_recipe

SHAPE, CLASSES = (2, 16, 16), 10
STEPS = (4, 8, 16)
PEER, HALF = "spikingjelly, multi-step", ", bf16"
WAYS = (OURS, PEER, OURS + HALF, PEER + HALF, "loop", "spikingjelly, tutorial", "snntorch")
AIM = 1.6
"""Times as fast as the strongest peer, spikingjelly's own multi-step neurons."""


class LeakyStudent(nn.Module):
    """The student's layers in torch and snnTorch: tau 2 is beta 1/2, and half of each current counts."""

    logit_scale = 1.0

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        blocks = [getattr(student, name) for name in ("block1", "block2", "block3")]
        self.convs = nn.ModuleList(_plain(block.conv) for block in blocks)
        self.norms = nn.ModuleList(nn.BatchNorm2d(block.conv.out_channels) for block in blocks)
        self.neurons = nn.ModuleList(snntorch.Leaky(0.5, reset_mechanism="zero") for _ in blocks)
        self.readout = nn.Linear(student.readout.linear.in_features, CLASSES, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        membranes = [neuron.reset_mem() for neuron in self.neurons]
        logits = []
        for y in x:
            for number, (conv, norm, neuron) in enumerate(
                zip(self.convs, self.norms, self.neurons, strict=True)
            ):
                y, membranes[number] = neuron(0.5 * norm(conv(y)), membranes[number])
            logits.append(self.readout(y.flatten(1)))
        return torch.stack(logits)


def _plain(conv: nn.Conv2d) -> nn.Conv2d:
    channels = conv.in_channels, conv.out_channels
    return nn.Conv2d(*channels, conv.kernel_size, conv.stride, conv.padding, bias=False)


def objectives(recipe: Recipe, steps: int, device: str) -> dict[str, DistillObjective]:
    """The three ways that have the recipe's loss."""
    torch.manual_seed(0)
    options = recipe.student.resolve(STUDENTS)
    student = STUDENTS.get(recipe.student.name).factory(
        options, in_shape=SHAPE, classes=CLASSES, timesteps=steps
    )
    assert recipe.teacher is not None
    teacher = TEACHERS.get(recipe.teacher.name).factory(
        recipe.teacher.resolve(TEACHERS), in_shape=SHAPE, classes=CLASSES
    )
    single = copy.deepcopy(student)
    functional.set_step_mode(single, "s")
    networks = {"ours": student, "loop": Loop(single), "snntorch": LeakyStudent(student)}
    found = {}
    for name, network in networks.items():
        method = build_method(recipe.method, Setting(network, teacher, SHAPE, CLASSES, steps))
        found[name] = DistillObjective(network.to(device), teacher.to(device), method, steps)
    return found


def loss_of(objective: DistillObjective, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The sum of the method's terms."""
    terms, _ = objective.losses({len(x): x}, y, torch.Generator(x.device))
    return torch.stack(list(terms.values())).sum()


def tutorial_loss(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """spikingjelly's own loop."""
    functional.reset_net(network)
    return nn.functional.cross_entropy(sum(network(frame) for frame in x) / len(x), y)


def kept_bytes(loss: Callable[[], torch.Tensor]) -> int:
    """Bytes that autograd keeps between forward and backward."""
    sizes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        kept = loss()
    del kept
    return sum(sizes.values())


def check(ways: dict[str, DistillObjective], x: torch.Tensor, y: torch.Tensor) -> None:
    """Stop unless ours and the loop give one loss and one gradient with batch norm in evaluation mode."""
    losses, gradients = [], []
    for way in (ways["ours"], ways["loop"]):
        way.network.eval()
        loss = loss_of(way, x, y)
        loss.backward()
        losses.append(loss.item())
        gradients.append(
            torch.cat([p.grad.flatten() for p in way.network.parameters() if p.grad is not None])
        )
        way.network.train()
    apart = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    if abs(losses[0] - losses[1]) > 1e-5 or not apart < 1e-4:
        raise SystemExit(f"The losses are {losses}, the gradients differ by {float(apart):.1e} of their norm")


def cell(recipe: Recipe, way: str, steps: int, batch: int, device: str) -> None:
    """Serve the training steps of one way; its digest says what it keeps for the backward pass."""
    ways = objectives(recipe, steps, device)
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(steps, batch, *SHAPE, generator=generator) < 0.2).float().to(device)
    y = torch.randint(CLASSES, (batch,), generator=generator).to(device)
    check(ways, x, y)
    kind = way.removesuffix(HALF)
    name = {PEER: OURS, "spikingjelly, tutorial": "loop"}.get(kind, kind)
    network = ways[name].network
    if kind == "spikingjelly, tutorial":
        network = network.network
    if way == OURS + HALF:
        use_channels_last(ways[OURS])
        x = channels_last(x)

    def loss() -> torch.Tensor:
        if kind == "spikingjelly, tutorial":
            return tutorial_loss(network, x, y)
        neurons = spikingjelly_neurons() if kind == PEER else contextlib.nullcontext()
        with neurons, torch.autocast(x.device.type, torch.bfloat16, enabled=way.endswith(HALF)):
            return loss_of(ways[name], x, y)

    optimizer = torch.optim.AdamW(network.parameters())

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        if device != "cpu":
            torch.cuda.synchronize()

    step()
    serve(step, f"{kept_bytes(loss) / 2**20:.1f} MiB")


def measure(steps: int, options: argparse.Namespace, table: Table) -> None:
    """Add the rows of one number of steps."""
    given = [f"--{name}={getattr(options, name)}" for name in ("device", "threads", "batch")]
    given += [f"--option={option}" for option in options.option]
    cells = {way: (*given, "--cell", way, str(steps)) for way in WAYS}
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    found = take_turns(Path(__file__), cells, options.rounds, environment)
    add_rows(table, [f"T = {steps}"], {way: one._replace(digest="") for way, one in found.items()})
    table.say(f"Kept at T = {steps}: {', '.join(f'{way} {one.digest}' for way, one in found.items())}.")
    reach(table, f"training step against {PEER}, T = {steps}", found[PEER], found[OURS], AIM)
    for half, what in ((PEER + HALF, "both in bfloat16"), (PEER, "ours in bfloat16")):
        reach(
            table, f"training step against {PEER}, {what}, T = {steps}", found[half], found[OURS + HALF], AIM
        )


def main() -> None:
    """Measure all numbers of steps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--option", action="append", default=[], help="of the recipe, as of distill -o")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as our trainer does; so all ways have it
    recipe = load_recipe("quickstart", ["student.readout=linear", *options.option])
    if options.cell:
        way, steps = options.cell
        cell(recipe, way, int(steps), options.batch, options.device)
        return
    told = "".join(f", {option}" for option in options.option)
    used = conditions("torch", "spikingjelly", "snntorch", threads=options.threads)
    table = Table(
        "Training step",
        f"{used} On {options.device}, batch {options.batch}{told}.\n"
        f"Milliseconds per step, {options.rounds} rounds by turns.",
        *("what", "way", *COLUMNS),
    )
    for steps in STEPS:
        measure(steps, options, table)
    table.close(options.markdown)


if __name__ == "__main__":
    main()
