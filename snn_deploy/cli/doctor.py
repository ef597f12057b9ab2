"""``doctor``: what is installed, what is missing, and how to get it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_REQUIRED = ("torch", "spikingjelly", "nir", "onnx", "onnxruntime", "h5py", "numpy", "scikit-learn")
_OPTIONAL = {
    "tonic": 'event files: pip install "snn-deploy[events]" (GPL-3.0, never bundled)',
    "snntorch": 'second NIR reader: pip install "snn-deploy[interop]"',
    "norse": 'second NIR reader: pip install "snn-deploy[interop]"',
}


def doctor(
    install_lava: Annotated[
        bool, typer.Option("--install-lava", help="Prepare the Lava environment (downloads about 130 MB).")
    ] = False,
    lava_dir: Annotated[
        Path | None, typer.Option("--lava-dir", help="Where to put the Lava environment.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show versions, devices, the Lava environment and data; install the Lava environment on request."""
    from snn_deploy.cli import render

    if install_lava:
        from snn_deploy.simulate.lava.environment import default_location
        from snn_deploy.simulate.lava.install import install

        python = install(lava_dir or default_location(), report=render.note)
        render.say(f"Lava environment ready: {python}")
    rows = _rows()
    if json:
        render.emit_json(rows)
        return
    render.table(["part", "state", "remark"], ([r["part"], r["state"], r["remark"]] for r in rows))


def _rows() -> list[dict[str, str]]:
    import platform

    from snn_deploy.core.version import __version__
    from snn_deploy.recipes.run_folder import package_version

    rows = [_row("snn-deploy", __version__), _row("Python", platform.python_version())]
    rows += [_row(name, package_version(name) or "MISSING") for name in _REQUIRED]
    for name, remark in _OPTIONAL.items():
        found = package_version(name)
        rows.append(_row(name, found or "not installed", "" if found else remark))
    return [*rows, _cuda_row(), _neurons_row(), _lava_row(), _cache_row()]


def _row(part: str, state: str, remark: str = "") -> dict[str, str]:
    return {"part": part, "state": state, "remark": remark}


def _cuda_row() -> dict[str, str]:
    import torch

    if torch.cuda.is_available():
        return _row("CUDA", torch.cuda.get_device_name(0), f"torch built for CUDA {torch.version.cuda}")
    return _row("CUDA", "no device", f"torch {torch.__version__} runs on the CPU")


def _neurons_row() -> dict[str, str]:
    from snn_deploy.recipes.run_folder import package_version

    if package_version("spikingjelly") is None:
        return _row("neurons in training", "none", "they are spikingjelly's")
    import torch

    from snn_deploy.distill.neurons.choice import choice, described

    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    return _row("neurons in training", described(device), choice(device).reason)


def _lava_row() -> dict[str, str]:
    from snn_deploy.simulate.lava.environment import lava_environment

    python = lava_environment()
    if python is None:
        return _row("Lava", "not installed", "snn-deploy doctor --install-lava")
    return _row("Lava", "ready", str(python))


def _cache_row() -> dict[str, str]:
    from snn_deploy.data.loading.cache import cache_dir

    return _row("cache", str(cache_dir()), "set SNN_DEPLOY_CACHE to move it")
