"""The Lava environment: a virtual environment of its own, without torch.

Lava is archived and its packages refuse Python >= 3.11 by metadata, importing it forces the ``fork`` start
method on the whole program, and its wheels bring a top-level package ``tests``. So it lives apart, with
pinned versions and our import hook (``lava_shims``), and only a worker process ever imports it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from snn_deploy.core.errors import ConfigError, MissingOptionalError, SnnDeployError
from snn_deploy.core.files import write_json, write_text
from snn_deploy.graph.lava.net import Conv, Cuba, Dense, Flatten, Input, LavaNet
from snn_deploy.simulate.lava.client import Lava
from snn_deploy.simulate.lava.environment import PUBLISHED_NETS, RECIPE, STAMP, is_ready, python_of
from snn_deploy.simulate.loihi import Loihi

Report = Callable[[str], None]

PIP_SECONDS = 1800
INSTALLER = Path(__file__).parent / "worker" / "install_lava.py"
SHIMS = Path(__file__).parent / "worker" / "lava_shims.py"
PUBLISHED = "tests/lava/lib/dl/netx"
"""Where lava-dl's wheel puts its test networks, with the arrays that they must give."""
_SHIM_MODULE = "snn_deploy_lava_shims"


def install(folder: Path, report: Report = lambda line: None) -> Path:
    """Make, or complete, the Lava environment in ``folder``; return its Python.

    Nothing is done when the environment is already there. A half-made one, or one made by hand, is completed.

    Raises:
        ConfigError: ``folder`` holds something else.
        MissingOptionalError: a step failed; the message ends with what the tool said.
    """
    folder = folder.absolute()
    python = python_of(folder)
    if is_ready(folder):
        report(f"already installed in {folder}")
        return python
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise ConfigError(
            f"'{folder}' exists and is not a virtual environment.", hint="Choose another --lava-dir."
        )
    if not _runs(python):
        report(f"making a virtual environment in {folder}")
        _step([sys.executable, "-m", "venv", "--clear", str(folder)], "make a virtual environment", 300)
    report("installing lava-nc, lava-dl and what they need (about 130 MB)")
    _step([str(python), str(INSTALLER)], "install Lava's packages", PIP_SECONDS)
    packages = _site_packages(python)
    _keep_published(packages / PUBLISHED, folder / PUBLISHED_NETS)
    shutil.rmtree(packages / "tests", ignore_errors=True)
    write_text(packages / f"{_SHIM_MODULE}.py", SHIMS.read_text())
    write_text(packages / f"{_SHIM_MODULE}.pth", f"import {_SHIM_MODULE}; {_SHIM_MODULE}.install()\n")
    report("comparing a small network in Lava with our simulator")
    self_test(python)
    write_json(folder / STAMP, {"recipe": RECIPE})
    return python


def self_test(python: Path) -> None:
    """Run a small network in Lava and in our simulator.

    Raises:
        MissingOptionalError: they differ, or Lava does not run.
    """
    net, x = example()
    try:
        found = Lava(net, python=python, timeout=300).run(x, record=True)
    except SnnDeployError as error:
        raise MissingOptionalError(
            f"Lava was installed, but does not run: {error.message}", hint=error.hint
        ) from None
    expected = Loihi(net).run(x, record=True)
    if any(not torch.equal(found.records[name], spikes) for name, spikes in expected.records.items()):
        raise MissingOptionalError("Lava was installed, but its spikes differ from our simulator's.")


def example() -> tuple[LavaNet, torch.Tensor]:
    """A network of every kind of layer that fires well, and input ``[T, B, C, H, W]`` for it."""
    random = np.random.default_rng(0)
    layers = (
        Input((2, 6, 5)),
        Conv(
            (3, 3, 5),
            2 * random.integers(-20, 40, (3, 2, 2, 3)),
            Cuba.of(4096, 2048, 60),
            None,
            (2, 1),
            (0, 1),
        ),
        Flatten((45,)),
        Dense(2 * random.integers(-20, 30, (8, 45)), Cuba.of(4096, 0, 100), random.integers(0, 20, 8)),
        Dense(2 * random.integers(-20, 30, (4, 8)), Cuba.of(1000, 512, 40)),
    )
    net = LavaNet(layers, ("conv", "hidden", "output"))
    return net, torch.from_numpy((random.random((12, 3, 2, 6, 5)) < 0.4).astype(np.float32))


def _keep_published(found: Path, kept: Path) -> None:
    """Move lava-dl's test networks to where the package's stray folder ``tests`` can be removed."""
    if found.is_dir():
        shutil.rmtree(kept, ignore_errors=True)
        shutil.move(found, kept)


def _runs(python: Path) -> bool:
    """Whether the interpreter is there and works with pip."""
    if not python.is_file():
        return False
    command = [str(python), "-m", "pip", "--version"]
    return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 0


def _site_packages(python: Path) -> Path:
    command = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return Path(_step(command, "ask for the packages folder", 60).strip())


def _step(command: Sequence[str], purpose: str, seconds: int) -> str:
    """Run one command and return its output.

    Raises:
        MissingOptionalError: it failed or took too long.
    """
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingOptionalError(f"Could not {purpose}: {error}") from None
    if done.returncode:
        last = "\n".join(f"  | {line}" for line in done.stdout.strip().splitlines()[-8:])
        raise MissingOptionalError(
            f"Could not {purpose} (exit status {done.returncode}):\n{last}",
            hint="Everything else works without Lava; our simulator (--backend loihi) replaces it.",
        )
    return done.stdout
