"""Which backend steps a network, frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from snn_deploy.core.errors import ConfigError
from snn_deploy.export.c.stepper import CStepper
from snn_deploy.simulate.stepping import OnnxStepper, ReferenceStepper, Stepper
from snn_deploy.tasks.source import Source

_FILES: dict[str, tuple[str, str, Callable[[Path], Stepper]]] = {
    "onnxruntime": ("onnx", "step", OnnxStepper),
    "c": ("c", "net", CStepper),
}
"""By backend the format of its file, what the file is in it, and what opens it."""


def stepper_of(source: Source, backend: str) -> Stepper:
    """The network in ``backend``; but for the reference, a file of the bundle.

    Raises:
        ConfigError: no such backend, or no such file.
    """
    if backend == "reference":
        return ReferenceStepper(source.plan)
    if backend not in _FILES:
        raise ConfigError(
            f"'{backend}' cannot take one frame at a time.",
            hint=f"Backends that can: {', '.join(('reference', *_FILES))}",
        )
    name, role, opened = _FILES[backend]
    held = (source.manifest or {"formats": {}})["formats"].get(name, {}).get("files", {})
    if role not in held:
        raise ConfigError(
            f"'{source.path}' holds no {name} file that can be stepped.",
            hint=f"Export with --to nir,{name} and open the bundle.",
        )
    return opened(source.path / Path(held[role]).name)
