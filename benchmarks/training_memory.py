"""Memory of a training step against T, with and without recomputed activations.

Each figure is from a process of its own: its largest resident size during three steps, less that after a step
on two samples. glibc is told to give back at once what is freed, so that this is what was in use.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time

STEPS = (2, 4, 8, 16)
BATCH = 32


def measure(timesteps: int, recompute: bool) -> tuple[float, float]:
    """MiB above the start, and seconds of CPU time for the last step."""
    import resource

    import torch

    from snn_deploy.data.loading.arrays import ArraySplit
    from snn_deploy.data.types import DataSet
    from snn_deploy.distill.batches import Batches
    from snn_deploy.distill.methods.combined import build_method
    from snn_deploy.distill.methods.method import Setting
    from snn_deploy.distill.objective import DistillObjective
    from snn_deploy.distill.step import GradientStep
    from snn_deploy.models.load import build_student
    from snn_deploy.processes.world import ALONE
    from snn_deploy.recipes.recipe import MethodSpec, TrainSpec, load_recipe

    torch.set_num_threads(1)
    recipe = load_recipe(
        "digits-baseline",
        [f"timesteps={timesteps}", "student.blocks=[" + ", ".join(["{channels: 32}"] * 8) + "]"],
    )
    frames = torch.randint(0, 2, (BATCH, timesteps, 2, 16, 16), dtype=torch.uint8)
    split = ArraySplit(frames, torch.arange(BATCH), torch.arange(BATCH) % 10)
    data = DataSet("noise", (2, 16, 16), tuple("0123456789"), split, split, split, "noise")
    student = build_student(recipe, data.shape, 10)
    setting = Setting(student, None, data.shape, 10, timesteps)
    method = build_method([MethodSpec(name="none")], setting)
    objective = DistillObjective(student, None, method, timesteps, recompute=recompute)
    cpu = torch.device("cpu")
    batches = Batches(data, {timesteps: split}, cpu, 0)
    step = GradientStep(objective, batches, TrainSpec(epochs=1), cpu, ALONE, 0)
    step(0, 0, torch.arange(2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(3):
        started = time.process_time()
        student.zero_grad()
        step(number, 0, torch.arange(BATCH))
        seconds = time.process_time() - started
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, type=int, metavar=("T", "RECOMPUTE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one[0], bool(arguments.one[1]))))
        return
    import torch

    print(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {platform.machine()}, one thread, ", end="")
    print(f"torch {torch.__version__}; 8 blocks of 32 channels at 16x16, batch {BATCH}, random spikes\n")
    print("| T | kept, MiB | recomputed, MiB | ratio | CPU time of a step, recomputed / kept |")
    print("| --- | --- | --- | --- | --- |")
    for timesteps in STEPS:
        (kept, fast), (again, slow) = (
            json.loads(
                subprocess.run(
                    [sys.executable, __file__, "--one", str(timesteps), str(recompute)],
                    check=True,
                    capture_output=True,
                    text=True,
                    env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"},
                ).stdout
            )
            for recompute in (0, 1)
        )
        print(f"| {timesteps} | {kept:.0f} | {again:.0f} | {again / kept:.2f} | {slow / fast:.2f} |")


if __name__ == "__main__":
    main()
