"""Start processes that work together, as torchrun does, without its own start-up time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

TRAIN = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from support.toy import toy_data, toy_recipe
from snn_deploy.distill.run import distill
from snn_deploy.recipes.run_folder import Run
from snn_deploy.processes.world import joined

with joined("cpu") as world:
    for folder, samples, settings in json.loads(sys.argv[1]):
        run, recipe = Run(Path(folder)), toy_recipe(*settings)
        world.told(lambda: None if run.recipe_file.exists() else Run.create(run.path, recipe) and None)
        distill(recipe, toy_data(sizes=(samples, 12, 12)), run, device="cpu", resume=True, world=world)
"""
"""Trains toy recipes: argument 1 is JSON of ``[folder, training samples, overrides]`` each."""


def start(arguments: Sequence[str], count: int, folder: Path) -> list[subprocess.Popen[str]]:
    """``python ARGUMENTS`` in ``count`` processes that are told of each other, as on machines that share no
    disk: number ``n`` works in ``folder/n`` and has its cache in ``folder/cache-n``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(count):
        (folder / str(rank)).mkdir(parents=True, exist_ok=True)
        world = {
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": "1",
            "RANK": str(rank),
            "LOCAL_RANK": "0",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, *arguments],
                env={**environment(folder / f"cache-{rank}"), **world},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=folder / str(rank),
            )
        )
    return processes


def environment(cache: Path) -> dict[str, str]:
    """For a process that finds the package, the tests, and a cache of its own."""
    return {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
        "SNN_DEPLOY_CACHE": str(cache),
        "OMP_NUM_THREADS": "1",
    }


def finish(processes: Sequence[subprocess.Popen[str]], seconds: float = 120) -> list[tuple[int, str, str]]:
    """Exit code, standard output and standard error of each."""
    try:
        texts = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, *text) for p, text in zip(processes, texts, strict=True)]
