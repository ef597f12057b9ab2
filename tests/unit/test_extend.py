"""The examples of ``docs/extend.md`` do what it says: every block that begins with a file name is run."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from support.graphs import chain, lif
from support.methods import toy_setting

from snn_deploy.cli.main import exit_code
from snn_deploy.core.registry import FORMATS, METHODS
from snn_deploy.distill.methods.method import DistillBatch, StudentPass
from snn_deploy.graph.passes.for_readers.consumers import CONSUMERS
from snn_deploy.graph.readers.dialects.chosen import DIALECTS
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.timing import Reading
from snn_deploy.hardware.profile import load_profile

PAGE = Path(__file__).parents[2] / "docs" / "extend.md"
BLOCKS = dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL))
"""Text of every example by its file name."""
X = (np.arange(160).reshape(10, 4, 4) % 3 == 0).astype(np.float32)
"""Samples ``[T, B, 4]``."""


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The examples as another distribution: modules, and the entry points of its ``pyproject.toml``."""
    for name, text in BLOCKS.items():
        (tmp_path / name).write_text(text)
    groups = tomllib.loads(BLOCKS["pyproject.toml"])["project"]["entry-points"]
    folder = tmp_path / "examples-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: examples\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items())
        for group, points in groups.items()
    ]
    (folder / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for registry in (METHODS, FORMATS):
        for name in registry._shipped:  # what ships stays registered after the test
            registry.get(name)
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    yield
    for name in BLOCKS:
        sys.modules.pop(name.removesuffix(".py"), None)


def network(inputs: int, outputs: int) -> nir.NIRGraph:
    weight = (np.arange(outputs * inputs).reshape(outputs, inputs) % 5 + 1).astype(np.float32) / 4
    return chain(nir.Linear(weight), lif((outputs,)), source=(inputs,), target=(outputs,))


def test_a_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["show", "halfway"]) == 0
    assert "Weight of the term" in capsys.readouterr().out
    assert exit_code(["validate", "quickstart", "-o", "method={name: halfway, alpha: 0.25}"]) == 0
    assert exit_code(["validate", "quickstart", "-o", "method={name: halfway, alpha: 2}"]) == 2
    entry = METHODS.get("halfway")
    method = entry.factory(entry.options(alpha=0.25), toy_setting())
    z = torch.tensor([[[1.0, 0.0]], [[3.0, 2.0]]])  # T = 2, B = 1, K = 2: the mean is (2, 1)
    batch = DistillBatch(
        {2: StudentPass(z)},
        2,
        torch.tensor([0]),
        torch.Generator(),
        teacher_logits=torch.tensor([[0.0, 2.0]]),
    )
    assert method.losses(batch)["mse"].item() == 0.25 * (2**2 + 1**2) / 2


def test_a_format(tmp_path: Path) -> None:
    nir.write(tmp_path / "net.nir", network(4, 3))
    np.savez("x.npz", x=X)
    time = ["--dt", "1e-4", "--integrator", "euler", "--fires-at", ">", "--reset", "zero"]
    assert exit_code(["export", "net.nir", "--to", "mine", "--data", "x.npz", *time]) == 0
    assert nir.read(tmp_path / "net-bundle" / "mine.nir").edges == nir.read(tmp_path / "net.nir").edges
    assert exit_code(["check", "net.nir", "--target", "mine", *time]) == 0


def milliseconds(tau: float) -> nir.NIRGraph:
    graph = network(4, 3)
    one = np.ones(3, np.float32)
    graph.nodes["n1"] = nir.LIF(tau=tau * one, r=2 * one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)
    return graph


def test_a_dialect_of_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DIALECTS, "plain", None)  # the example takes its place, until the test is over
    exec(BLOCKS["plain_writer.py"], {})
    nir.write(tmp_path / "net.nir", milliseconds(2.0))
    np.savez("x.npz", x=X)
    plan, assumed = read_plan(tmp_path / "net.nir", Reading(writer="plain"))
    np.testing.assert_allclose(plan.node("n1").tau, 2e-3)
    assert "tau is taken for milliseconds." in assumed
    assert exit_code(["simulate", "net.nir", "--from", "plain", "--data", "x.npz"]) == 0


def test_a_dialect_of_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONSUMERS, "plain", None)
    exec(BLOCKS["plain_reader.py"], {})
    nir.write(tmp_path / "net.nir", milliseconds(2e-3))
    np.savez("x.npz", x=X)
    time = ["--dt", "1e-3", "--integrator", "euler", "--fires-at", ">=", "--reset", "zero"]
    assert exit_code(["check", "net.nir", "--target", "nir:plain", *time]) == 0
    assert exit_code(["export", "net.nir", "--to", "nir", "--for", "plain", "--data", "x.npz", *time]) == 0
    written = nir.read(tmp_path / "net-bundle" / "model.nir").nodes.values()
    assert {type(node) for node in written} == {nir.Input, nir.Affine, nir.LIF, nir.Output}, (
        "it reads no Linear"
    )


def test_a_chip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    time = ["--dt", "1e-4", "--integrator", "euler", "--fires-at", ">", "--reset", "zero"]
    for inputs, code in ((10, 0), (11, 5)):
        nir.write(tmp_path / "net.nir", network(inputs, 3))
        assert exit_code(["check", "net.nir", "--target", "mychip.yaml", *time]) == code
    assert "Table 4" in capsys.readouterr().out
    assert load_profile("mychip.yaml").terms.sop.value == 2.0
