"""The stand-alone kits as modules."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from snn_deploy.core.assets import asset_dir


def kit(name: str) -> ModuleType:
    """``export/NAME.py``, imported from its file."""
    for shared in ("own_frames", "float32_rounding") if name.startswith("run_") else ():
        sys.modules[shared] = kit(shared)
    spec = importlib.util.spec_from_file_location(name, asset_dir("export") / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
