"""snn-deploy: distil spiking networks, export them, prove the export, price it.

>>> import snn_deploy as sd
>>> run = sd.distill_student("quickstart", "runs/quickstart")  # doctest: +SKIP
>>> bundle = sd.export_bundle(run.path, "runs/quickstart/bundle")  # doctest: +SKIP

The names below are loaded when they are first used: importing the package is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from snn_deploy.core.version import __version__

_WHERE = {
    "Bundle": "snn_deploy.api",
    "EventCounter": "snn_deploy.synapses.live",
    "Own": "snn_deploy.tasks.own",
    "Recipe": "snn_deploy.recipes.recipe",
    "Run": "snn_deploy.recipes.run_folder",
    "Semantics": "snn_deploy.graph.semantics",
    "SnnDeployError": "snn_deploy.core.errors",
    "check_network": "snn_deploy.api",
    "compare_reports": "snn_deploy.tasks.compare",
    "convert_network": "snn_deploy.tasks.convert",
    "conform": "snn_deploy.tasks.conform",
    "count": "snn_deploy.energy.count",
    "describe": "snn_deploy.tasks.distill",
    "distill_student": "snn_deploy.tasks.distill",
    "export_bundle": "snn_deploy.api",
    "from_torch": "snn_deploy.graph.readers.from_torch",
    "load_profile": "snn_deploy.hardware.profile",
    "load_recipe": "snn_deploy.recipes.recipe",
    "make_plan": "snn_deploy.graph.plan",
    "open_bundle": "snn_deploy.api",
    "price": "snn_deploy.energy.price",
    "record_trace": "snn_deploy.graph.readers.record_trace",
    "read_nir": "snn_deploy.graph.readers.io",
    "write_report": "snn_deploy.api",
    "run_sweep": "snn_deploy.sweep.run",
    "simulate_network": "snn_deploy.api",
    "open_stream": "snn_deploy.api",
    "Session": "snn_deploy.tasks.stream",
}
__all__ = [
    "Bundle",
    "EventCounter",
    "Own",
    "Recipe",
    "Run",
    "Semantics",
    "Session",
    "SnnDeployError",
    "__version__",
    "check_network",
    "compare_reports",
    "conform",
    "convert_network",
    "count",
    "describe",
    "distill_student",
    "export_bundle",
    "from_torch",
    "load_profile",
    "load_recipe",
    "make_plan",
    "open_bundle",
    "open_stream",
    "price",
    "read_nir",
    "record_trace",
    "run_sweep",
    "simulate_network",
    "write_report",
]

if TYPE_CHECKING:
    from snn_deploy.api import (
        Bundle,
        check_network,
        export_bundle,
        open_bundle,
        open_stream,
        simulate_network,
        write_report,
    )
    from snn_deploy.core.errors import SnnDeployError
    from snn_deploy.energy.count import count
    from snn_deploy.energy.price import price
    from snn_deploy.graph.plan import make_plan
    from snn_deploy.graph.readers.from_torch import from_torch
    from snn_deploy.graph.readers.io import read_nir
    from snn_deploy.graph.readers.record_trace import record_trace
    from snn_deploy.graph.semantics import Semantics
    from snn_deploy.hardware.profile import load_profile
    from snn_deploy.recipes.recipe import Recipe, load_recipe
    from snn_deploy.recipes.run_folder import Run
    from snn_deploy.sweep.run import run_sweep
    from snn_deploy.synapses.live import EventCounter
    from snn_deploy.tasks.compare import compare_reports
    from snn_deploy.tasks.conform import conform
    from snn_deploy.tasks.convert import convert_network
    from snn_deploy.tasks.distill import describe, distill_student
    from snn_deploy.tasks.own import Own
    from snn_deploy.tasks.stream import Session


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'snn_deploy' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
