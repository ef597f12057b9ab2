"""Peak memory and time of writing and proving bundles of real networks: nir and onnx, 64 samples.

    python benchmarks/export_size.py [NAME ...] [--samples N]

Students are not trained: random weights, batch norms set by a pass over random inputs, so that all layers
fire. Every row is a process of its own; its peak is the largest resident size, libraries included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snn_deploy.export.manifest import Network

NETWORKS = {
    "quickstart": ("quickstart", (2, 16, 16), 10),
    "resnet18": ("kd-cifar10-resnet18", (3, 32, 32), 10),
    "resnet19": ("bkd-cifar10-resnet19", (3, 32, 32), 10),
    "sew-resnet18": ("bkd-imagenet-sew-resnet18", (3, 64, 64), 10),
    "sew-resnet34": ("samd-nld-imagenet-sew-resnet34", (3, 224, 224), 1000),
    "vgg9": ("none-dvsgesture-vgg9", (2, 128, 128), 11),
    "dvs-csnn": ("none-dvsgesture-dvs-csnn", (2, 128, 128), 11),
}
"""Name: recipe, input shape, classes."""
CALIBRATION_STEPS = 3


def untrained(name: str, samples: int, overrides: Sequence[str] = ()) -> Network:
    """A student of random weights whose layers fire, and ``samples`` random samples for it."""
    import torch
    from spikingjelly.activation_based import functional

    from snn_deploy.export.base import Calibration
    from snn_deploy.export.manifest import Network
    from snn_deploy.export.verify import Samples
    from snn_deploy.graph.plan import make_plan
    from snn_deploy.graph.readers.from_torch import from_torch
    from snn_deploy.graph.semantics import Semantics
    from snn_deploy.models.executable import StudentExecutable
    from snn_deploy.models.load import build_student
    from snn_deploy.recipes.recipe import load_recipe

    torch.set_num_threads(1)
    torch.manual_seed(0)
    recipe_name, shape, classes = NETWORKS[name]
    recipe = load_recipe(recipe_name, overrides)
    student = build_student(recipe, shape, classes)
    x = (torch.rand(recipe.timesteps, samples, *shape) < 0.2).float()
    student.train()
    with torch.no_grad():
        for step in range(min(CALIBRATION_STEPS, samples)):
            student(x[:, step : step + 1])
            functional.reset_net(student)
    names = tuple(str(number) for number in range(classes))
    plan = make_plan(
        from_torch(student.eval(), shape, semantics=Semantics(timesteps=recipe.timesteps, classes=names))
    )
    return Network(name, plan, StudentExecutable(student), Samples(x), Calibration(x[:, :8]))


def export(name: str, samples: int) -> dict[str, object]:
    """Write and prove one bundle in this process; peak in MiB, seconds, CPU seconds, verdict."""
    from snn_deploy.export.bundle import BundleOptions, write_bundle

    network = untrained(name, samples)
    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_bundle(
            network, Path(folder), BundleOptions(("nir", "onnx"), allow=("reset-in-metadata",))
        )
    return {
        "network": name,
        "steps": int(network.samples.x.shape[0]),
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "verdict": manifest["verdict"],
        "checks": [f"{p['format']} in {p['runtime']}: {p['verdict']}" for p in manifest["parity"]],
    }


def main() -> None:
    """One process per network; a table of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(NETWORKS))
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--here", action="store_true", help="run the one network named in this process")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(export(options.names[0], options.samples)))
        return
    print("| network | steps | samples | seconds | CPU seconds | peak MiB | verdict |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for name in options.names:
        command = [sys.executable, __file__, name, "--here", "--samples", str(options.samples)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {name} | | | | | | failed: {done.stderr.strip().splitlines()[-1]} |", flush=True)
            continue
        row = json.loads(done.stdout.splitlines()[-1])
        print(
            f"| {name} | {row['steps']} | {options.samples} | {row['seconds']} | {row['cpu_seconds']} | "
            f"{row['peak_mib']} | {row['verdict']} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
