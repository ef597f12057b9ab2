"""A training step of one student under one loss, written in seven ways."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from other_ways import Loop, spikingjelly_neurons
from spikingjelly.activation_based import functional
from torch import nn

from gpu.roofline import finished
from snn_deploy.distill.methods.combined import build_method
from snn_deploy.distill.methods.method import Setting
from snn_deploy.distill.objective import DistillObjective
from snn_deploy.distill.optimizer import make_optimizer
from snn_deploy.distill.step import channels_last, use_channels_last
from snn_deploy.models.load import build_student, build_teacher
from snn_deploy.recipes.recipe import Recipe

CLASSES = 10


class Way(NamedTuple):
    """How a step is written: in bfloat16 and channels last; with our neurons, or spikingjelly's; as a loop
    over time; with TF32 in products; compiled."""

    bf16: bool = False
    ours: bool = False
    loop: bool = False
    tf32: bool = True
    compiled: bool = False


WAYS = {
    "papers: loop over T, float32": Way(loop=True, tf32=False),
    "the same, TF32": Way(loop=True),
    "spikingjelly multi-step, TF32": Way(),
    "spikingjelly multi-step, bfloat16": Way(bf16=True),
    "ours, TF32 (amp: off)": Way(ours=True),
    "ours, bfloat16 (the default)": Way(bf16=True, ours=True),
    "the same, compiled": Way(bf16=True, ours=True, compiled=True),
}
DEFAULT = "ours, bfloat16 (the default)"


class Timed(NamedTuple):
    """Median, least and largest milliseconds of a step; images a second; GiB at the peak; the last loss."""

    median: float
    least: float
    largest: float
    images: float
    peak: float | None
    loss: float


def step_of(
    recipe: Recipe, way: Way, device: torch.device, batch: int, shape: tuple[int, int, int]
) -> Callable[[], torch.Tensor]:
    """A step on made-up images; its loss."""
    torch.manual_seed(0)
    steps = recipe.timesteps
    student: nn.Module = build_student(recipe, shape, CLASSES)
    if way.loop:
        functional.set_step_mode(student, "s")
        student = Loop(student)
    student, teacher = student.to(device).train(), build_teacher(recipe, shape, CLASSES).to(device)
    setting = Setting(student, teacher, shape, CLASSES, steps, steady=True)
    method = build_method(recipe.method, setting).to(device)
    objective = DistillObjective(student, teacher, method, steps)
    if way.bf16:
        use_channels_last(objective)
    if way.compiled:
        student.compile()
    optimizer = make_optimizer(recipe.train, (student, method))
    x = torch.rand(batch, *shape, device=device).expand(steps, batch, *shape)
    labels = torch.randint(CLASSES, (batch,), device=device)
    generator = torch.Generator(device)

    def step() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        inputs = channels_last(x) if way.bf16 else x
        with torch.autocast(device.type, torch.bfloat16, enabled=way.bf16):
            terms, _ = objective.losses({steps: inputs}, labels, generator)
        loss = torch.stack(list(terms.values())).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def timed(
    recipe: Recipe, way: Way, device: torch.device, batch: int, shape: tuple[int, int, int], rounds: int
) -> Timed:
    """Time ``rounds`` steps after a few that are not counted."""
    gpu = device.type == "cuda"
    products = torch.backends.cuda.matmul
    before = products.allow_tf32
    products.allow_tf32 = way.tf32
    convolutions = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=way.tf32)
    try:
        with convolutions, contextlib.nullcontext() if way.ours else spikingjelly_neurons():
            step = step_of(recipe, way, device, batch, shape)
            for _ in range(5 if gpu else 1):
                finished(step, device)
            if gpu:
                torch.cuda.reset_peak_memory_stats()
            times = []
            for _ in range(rounds):
                started = time.perf_counter()
                loss = finished(step, device)
                times.append(1e3 * (time.perf_counter() - started))
    finally:
        products.allow_tf32 = before
    median = sorted(times)[len(times) // 2]
    peak = torch.cuda.max_memory_allocated() / 2**30 if gpu else None
    return Timed(median, min(times), max(times), 1e3 * batch / median, peak, float(loss))
