"""What trains a student leaves no trace: files, graph, counts and logits depend on its weights alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.methods import TOY_OPTIONS, offered, toy_setting
from support.toy import SHAPE, toy_data
from torch import nn

from snn_deploy.core.registry import FORMATS, METHODS
from snn_deploy.distill.methods.combined import build_method
from snn_deploy.energy.count import count
from snn_deploy.export.base import Calibration
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.models.load import save_weights
from snn_deploy.recipes.recipe import MethodSpec
from snn_deploy.simulate.reference import Reference

VARIANTS: dict[str, list[dict[str, Any]]] = {
    **{name: [{"name": name}] for name in METHODS.names()},
    "tssd in one pass": [{"name": "tssd", "passes": 1, "distance": "mse"}],
    "samd_nld raw counts": [{"name": "samd_nld", "variant": "raw-counts", "samd": 1.0}],
    "samd_nld official-code": [{"name": "samd_nld", "variant": "official-code"}],
    "bkd logit only": [{"name": "bkd", "feature": 0}],
    "combined": [
        {"name": "kd"},
        *({"name": name, "ce": 0} for name in ("tser", "tssd", "samd_nld", "bkd", "s2w")),
    ],
}
SAMPLES = toy_data().test.batch(torch.arange(12))


def used_by(parts: list[dict[str, Any]]) -> nn.Module:
    """The toy student after a method was built on it, saw a batch, sent gradients back, and was dropped."""
    setting = toy_setting(steady=True)
    specs = [MethodSpec.model_validate({**TOY_OPTIONS.get(part["name"], {}), **part}) for part in parts]
    method = build_method(specs, setting)
    terms = method.losses(offered(method, setting))
    torch.stack(list(terms.values())).sum().backward()
    return setting.student.eval()


def deployed(student: nn.Module, folder: Path) -> tuple[dict[str, bytes], list[Any]]:
    """The bytes of the weights and of every exported file, and all that was counted."""
    graph = from_torch(student, SHAPE, semantics=Semantics(timesteps=3))
    for kind in ("nir", "onnx", "lava"):
        entry = FORMATS.get(kind)
        entry.factory(entry.options()).write(graph, folder / kind, Calibration(SAMPLES))
    save_weights(student.state_dict(), folder / "student.safetensors")
    files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    plan = Reference(graph)
    trace = plan.run(SAMPLES, record="all")
    counts = count(plan.plan, trace)
    numbers = [sum(p.numel() for p in student.parameters()), counts.sops().tolist(), counts.spikes().tolist()]
    return files, [*numbers, trace.output.tolist()]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, bytes], list[Any]]]:
    yield deployed(toy_setting().student.eval(), tmp_path_factory.mktemp("untouched"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_files_and_counts_are_those_of_the_weights_alone(
    variant: str, untouched: tuple[dict[str, bytes], list[Any]], tmp_path: Path
) -> None:
    files, numbers = deployed(used_by(VARIANTS[variant]), tmp_path)
    assert {path.partition("/")[0] for path in files} == {"nir", "onnx", "lava", "student.safetensors"}
    assert files.keys() == untouched[0].keys()
    assert [path for path in files if files[path] != untouched[0][path]] == []
    assert numbers == untouched[1]
    assert sum(map(sum, numbers[1])) > 0
