"""Float32 C against the reference simulator, on graphs whose sums are exact in any order: every bit."""

from __future__ import annotations

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import get_args

import nir
import numpy as np
import pytest
import torch
from support.c_float import compiled, write_program
from support.random_graphs import Case, exact_case

from snn_deploy.core.assets import asset_dir
from snn_deploy.core.errors import ConfigError, DataError, MissingOptionalError, UnsupportedError
from snn_deploy.core.files import write_json
from snn_deploy.export.base import Calibration
from snn_deploy.export.c.compiler import SANITIZERS
from snn_deploy.export.c_float import program as programs
from snn_deploy.export.c_float.runtime import HEADER, SOURCE, FloatCProgram
from snn_deploy.export.c_float.source import header, source
from snn_deploy.export.c_float.writer import FloatCWriter
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Reset, read_semantics, write_semantics
from snn_deploy.graph.types import SPIKING_NODES
from snn_deploy.simulate.reference import Reference

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


def compare(case: Case, candidate: FloatCProgram) -> int:
    """Free, and every node on values it is given; returns how many spikes fell."""
    ours = Reference(case.graph)
    plan, x = ours.plan, case.x
    every = ours.run(x, record="all").records
    found = candidate.run(x, record=True)
    assert torch.equal(found.output, every[plan.output])
    assert list(found.records) == list(plan.of_type(*SPIKING_NODES))
    for name, spikes in found.records.items():
        assert torch.equal(spikes, every[name]), name
    generator = torch.Generator().manual_seed(0)
    inner = [name for name in plan.order if name not in {plan.input, plan.output}]
    given = {n: torch.randint(0, 3, every[n].shape, generator=generator).float() for n in inner}
    shapes = {name: plan.shapes[name] for name in (*inner, plan.output)}
    due = ours.run_nodes(x, given, shapes, plan.output)
    own = candidate.run_nodes(x, given, shapes, plan.output)
    for name, values in due.items():
        assert torch.equal(own[name], values), f"{name}, given what it sees"
    return sum(int(spikes.sum()) for spikes in found.records.values())


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs(seed: int, tmp_path: Path) -> None:
    case = exact_case(seed)
    compare(case, compiled(case.graph, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 200))
def test_two_hundred_random_graphs(seed: int, tmp_path: Path) -> None:
    case = exact_case(seed)
    compare(case, compiled(case.graph, tmp_path))


@pytest.mark.parametrize("seed", [1, 8])
def test_memory_and_undefined_behaviour(seed: int, tmp_path: Path) -> None:
    case = exact_case(seed)
    compare(case, compiled(case.graph, tmp_path, extra=SANITIZERS))


def layers(*, per_channel: bool) -> nir.NIRGraph:
    """A convolution, spiking neurons with differing parameters, a grouped convolution, and a pool."""
    rng = np.random.default_rng(3)

    def eighths(*shape: int) -> np.ndarray:
        return rng.integers(-8, 9, shape) / np.float32(8)

    size = (4, 1, 1) if per_channel else (4, 5, 5)
    pick = rng.integers(1, 4, size).astype(np.float32)
    full = np.broadcast_to(pick, (4, 5, 5)).copy()
    zero = np.zeros((4, 5, 5), np.float32)
    lif = nir.LIF(
        tau=2e-4 * np.ones_like(full),
        r=2 * np.ones_like(full),
        v_leak=zero,
        v_threshold=full / 2,
        v_reset=zero,
    )
    nodes = {
        "input": nir.Input({"input": np.array([2, 5, 5])}),
        "conv": nir.Conv2d((5, 5), eighths(4, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1, eighths(4)),
        "lif": lif,
        "grouped": nir.Conv2d(
            (5, 5), eighths(4, 2, 3, 2), (2, 1), (1, 0), (1, 2), 2, np.zeros(4, np.float32)
        ),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([1, 1]), np.array([1, 0])),
        "flat": nir.Flatten({"input": np.array([4, 4, 2])}, 0, -1),
        "out": nir.Output({"output": np.array([32])}),
    }
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)), type_check=False)


RULES: list[dict] = [
    *({"reset": reset} for reset in get_args(Reset)),
    {"reset": "subtract", "v_min": -0.5},
    {"reset": "zero", "spikes": "many"},
    {"reset": "subtract", "spikes": "many"},
    {"reset": "subtract", "spikes": "rounded", "levels": 2},
    {"reset": "zero", "spikes": "rounded", "levels": 3},
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, rule.values())))
@pytest.mark.parametrize("fires_at", [">", ">="])
def test_every_rule_of_firing(rule: dict, fires_at: str, tmp_path: Path) -> None:
    graph = layers(per_channel=fires_at == ">")
    stated = {**rule, "fires_at": fires_at, "timesteps": 5, "integrator": "euler", "dt": 1e-4}
    write_semantics(graph, read_semantics(graph).stating(**stated))
    x = torch.from_numpy(np.random.default_rng(5).integers(0, 3, (5, 4, 2, 5, 5)).astype(np.float32))
    assert compare(Case(graph, x), compiled(graph, tmp_path)) > 0


def test_names_from_outside_cannot_leave_their_comment(tmp_path: Path) -> None:
    case = exact_case(0)
    hostile = '*/ int main(void){return 1;} /* "\\'
    nodes = {hostile if n == "input" else n: node for n, node in case.graph.nodes.items()}
    edges = [tuple(hostile if n == "input" else n for n in edge) for edge in case.graph.edges]
    graph = nir.NIRGraph(nodes, edges, metadata=case.graph.metadata, type_check=False)
    made = programs.program(make_plan(graph))
    for text in (header(made), source(made)):
        assert "*/ int" not in text
        assert text.isascii()


def test_changed_code_is_not_compiled(tmp_path: Path) -> None:
    path = write_program(exact_case(0).graph, tmp_path)
    for file in (SOURCE, HEADER):
        text = (tmp_path / file).read_text()
        (tmp_path / file).write_text(text + "\n")
        with pytest.raises(UnsupportedError, match="not what this version"):
            FloatCProgram(path)
        (tmp_path / file).write_text(text)
    (tmp_path / SOURCE).unlink()
    with pytest.raises(DataError, match="cannot be read"):
        FloatCProgram(path)


def test_wrong_inputs_are_named(tmp_path: Path) -> None:
    case = exact_case(0)
    candidate = compiled(case.graph, tmp_path)
    with pytest.raises(DataError, match="the input"):
        candidate.run(case.x[:, :, :0])
    with pytest.raises(ConfigError, match="nosuch"):
        candidate.run(case.x, forced={"nosuch": case.x})
    with pytest.raises(DataError, match="nosuch"):
        candidate.run_nodes(case.x, {}, {"nosuch": (1,)}, "output")


def test_too_many_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MAX_WEIGHTS", 1)
    (problem,) = FloatCWriter().check(exact_case(0).graph)
    assert "weights" in problem.what
    assert problem.try_instead == "--to onnx"


def test_the_kit_checks_every_bit(tmp_path: Path) -> None:
    case = exact_case(4)
    FloatCWriter().write(case.graph, tmp_path, Calibration(case.x))
    for file in ("c_float/run_c_float.sh", "c_float/main_float.c", "c/early_exit.h"):
        shutil.copy(asset_dir("export") / file, tmp_path)
    (tmp_path / "model_float.nir").unlink()

    def kit(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", str(tmp_path / "run_c_float.sh"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    done = kit()
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PASS")
    steps = case.x.shape[0]
    case.x.flatten(2).swapaxes(0, 1).numpy().tofile(tmp_path / "frames")
    done = kit(str(tmp_path / "frames"), str(steps))
    assert done.stdout.count("sample ") == case.x.shape[1]
    assert "after" not in done.stdout
    write_json(tmp_path / "manifest.json", {"exit": {"at": 1e-9, "scale": 1.0}})
    early = kit(str(tmp_path / "frames"), str(steps))
    assert (early.returncode, early.stdout.count(" after 1 steps")) == (0, case.x.shape[1])
    frames = case.x.flatten(2).swapaxes(0, 1).numpy().copy()
    frames[0, 1, 0] = np.nan
    frames.tofile(tmp_path / "frames")
    done = kit(str(tmp_path / "frames"), str(steps))
    assert (done.returncode, done.stderr) == (2, "entry 0 of frame 1 is not finite\n")
    content = bytearray((tmp_path / "example_float.bin").read_bytes())
    content[-1] ^= 1
    (tmp_path / "example_float.bin").write_bytes(content)
    assert kit().returncode == 1


def test_without_a_compiler_there_is_no_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    case = exact_case(0)
    written = FloatCWriter().write(case.graph, tmp_path, Calibration(case.x))
    assert "example" not in written.files
    with pytest.raises(MissingOptionalError):
        FloatCProgram(tmp_path / written.files["model"])
