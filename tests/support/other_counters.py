"""Other counters of synaptic operations, in a folder of their own beside our environment.

Their packages are installed without their dependencies: what they need of torch, spikingjelly and snnTorch is
here already, and NeuroBench would pull in torchaudio, which it needs for data only.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

PACKAGES = ("neurobench==2.3.0", "syops==0.0.5", "progress==1.6.1")
FOLDER = Path(os.environ.get("INTEROP", Path(__file__).parents[2] / ".interop")) / "counters"

_STAMP = FOLDER / "installed.txt"


def here() -> bool:
    """Whether :data:`PACKAGES` are installed."""
    return _STAMP.is_file() and _STAMP.read_text().split() == list(PACKAGES)


def install(say: Callable[[str], None] = print) -> None:
    """Install :data:`PACKAGES` unless they are there."""
    if here():
        return
    say(f"counters: installing {', '.join(PACKAGES)} into {FOLDER}")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--upgrade", "--target", str(FOLDER), *PACKAGES], check=True)
    _STAMP.write_text("\n".join(PACKAGES))


def load(name: str) -> ModuleType:
    """Import a module of one of the counters.

    Raises:
        ModuleNotFoundError: not installed.
    """
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    if name.startswith("syops"):
        _give_back_old_names()
    return importlib.import_module(name)


def _give_back_old_names() -> None:
    """syops looks for neuron classes that spikingjelly has dropped."""
    from spikingjelly.activation_based import neuron

    for kind in ("IFNode", "LIFNode", "ParametricLIFNode"):
        setattr(neuron, f"MultiStep{kind}", type(f"MultiStep{kind}", (getattr(neuron, kind),), {}))


if __name__ == "__main__":
    install()
