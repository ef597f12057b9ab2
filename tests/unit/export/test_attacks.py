"""A faulty writer: files that compute something else, or data that show nothing, are never verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest

from snn_deploy import api
from snn_deploy.core.errors import DataError, MissingOptionalError, ParityError, SnnDeployError
from snn_deploy.export import lava as lava_writing
from snn_deploy.export import nir as writing
from snn_deploy.export import onnx as onnx_writing
from snn_deploy.export.onnx_int8 import Quantized
from snn_deploy.export.proof import files
from snn_deploy.graph.lava.io import write_net
from snn_deploy.graph.lava.net import Dense, LavaNet
from snn_deploy.graph.readers.io import write_nir
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.graph.types import Plan

Patch = Callable[[nir.NIRGraph], None]
STEPS, SAMPLES, INPUTS, HIDDEN, CLASSES = 8, 40, 6, 5, 3
RNG = np.random.default_rng(5)
X = (RNG.random((STEPS, SAMPLES, INPUTS)) < 0.4).astype(np.float32)
Y = RNG.integers(0, CLASSES, SAMPLES)
W1 = RNG.integers(-1, 3, (HIDDEN, INPUTS)).astype(np.float32)
W2 = RNG.normal(size=(CLASSES, HIDDEN)).astype(np.float32)


def network(threshold: float = 2.0, scale: float = 1.0, weights: np.ndarray = W1) -> nir.NIRGraph:
    """Integer weights, IF, a linear readout; ``scale`` multiplies the weights."""
    hidden = len(weights)

    def full(value: float) -> np.ndarray:
        return np.full(hidden, value, np.float32)

    nodes = {
        "input": nir.Input({"input": np.array([INPUTS])}),
        "fc": nir.Linear((weights * scale).astype(np.float32)),
        "if1": nir.IF(full(1e4), full(threshold), v_reset=full(0)),
        "ro": nir.Linear(np.resize(W2, (CLASSES, hidden))),
        "output": nir.Output({"output": np.array([CLASSES])}),
    }
    edges = [("input", "fc"), ("fc", "if1"), ("if1", "ro"), ("ro", "output")]
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    write_semantics(graph, Semantics(timesteps=STEPS, classes=tuple("abc"), fires_at=">="))
    return graph


@pytest.fixture
def verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Export ``graph`` by a writer that plants ``patch`` before it writes; returns the bundle's verdict."""

    def export(
        graph: nir.NIRGraph,
        patch: Patch = lambda _graph: None,
        x: np.ndarray = X,
        y: np.ndarray | None = Y,
        formats: tuple[str, ...] = ("nir", "onnx"),
        **options: object,
    ) -> str:
        write_nir(graph, tmp_path / "net.nir")
        arrays = {"x": x} if y is None else {"x": x, "y": y}
        np.savez(tmp_path / "data.npz", **arrays)

        def faulty(written: nir.NIRGraph, path: Path, version: str = "1.0.8") -> None:
            patch(written)
            write_nir(written, path, version)

        monkeypatch.setattr(writing, "write_nir", faulty)
        try:
            bundle = api.export_bundle(
                tmp_path / "net.nir",
                tmp_path / "bundle",
                formats=formats,
                data=str(tmp_path / "data.npz"),
                profiles=["horowitz-45nm-fp32"],
                **options,  # type: ignore[arg-type]
            )
        except ParityError:
            return "failed"
        return str(bundle.manifest["verdict"])

    return export


def weights(factor: float) -> Patch:
    def patch(graph: nir.NIRGraph) -> None:
        graph.nodes["fc"].weight = graph.nodes["fc"].weight * np.float32(factor)

    return patch


def thresholds(factor: float, count: int | None = None) -> Patch:
    def patch(graph: nir.NIRGraph) -> None:
        values = graph.nodes["if1"].v_threshold.copy()
        values[:count] *= np.float32(factor)
        graph.nodes["if1"].v_threshold = values

    return patch


def readout(factor: float) -> Patch:
    def patch(graph: nir.NIRGraph) -> None:
        graph.nodes["ro"].weight = graph.nodes["ro"].weight * np.float32(factor)

    return patch


def both(*patches: Patch) -> Patch:
    def patch(graph: nir.NIRGraph) -> None:
        for part in patches:
            part(graph)

    return patch


def test_the_right_file_is_verified(verdict: Callable[..., str]) -> None:
    assert verdict(network()) == "verified"


@pytest.mark.parametrize(
    "patch",
    [readout(-1), both(readout(-10), thresholds(1 + 1e-6, 1)), thresholds(1 + 1e-6, 1), thresholds(1 + 1e-6)],
    ids=["readout negated", "readout negated beside one tie", "one tie", "> for >="],
)
def test_no_tie_excuses_a_readout_and_integers_have_no_ties(verdict, patch: Patch) -> None:
    assert verdict(network(), patch, formats=("nir",)) == "failed"


@pytest.mark.parametrize("scale", [1e-2, 1e-3, 1e-5, 2e-6])
@pytest.mark.parametrize("factor", [-1.0, 1.004, 1.001])
def test_wrong_weights_are_found_at_any_scale(verdict, scale: float, factor: float) -> None:
    graph = network(2.0 * scale, scale)
    assert verdict(graph, weights(factor), formats=("nir",)) == "failed"


@pytest.mark.parametrize("threshold", [1.0, 0.1, 0.01, 0.001])
def test_a_tenth_of_a_percent_is_found_at_any_threshold(verdict, threshold: float) -> None:
    wide = np.random.default_rng(1).normal(size=(64, INPUTS)) * 0.6 + 0.3
    assert verdict(network(threshold, threshold, wide), weights(1.001), formats=("nir",)) == "failed"


@pytest.mark.parametrize(
    ("graph", "x"),
    [(network(1e9), X), (network(weights=0 * W1), X), (network(), 0 * X)],
    ids=["never fires", "no weights", "no input"],
)
def test_silence_verifies_nothing(verdict, graph: nir.NIRGraph, x: np.ndarray) -> None:
    assert verdict(graph, x=x) == "not verified"


def test_a_silent_network_with_other_weights_fails(verdict) -> None:
    assert verdict(network(1e9), weights(7.0), formats=("nir",)) == "failed"


@pytest.mark.parametrize(
    ("x", "y", "what"),
    [
        (X, np.full(SAMPLES, 99), "must be 0 to 2"),
        (X, np.full(SAMPLES, -5), "must be 0 to 2"),
        (X, np.full(SAMPLES, 1.7), "must be integers"),
        (X[:, :0], Y[:0], "0 samples"),
        (X[:0], Y, "of 0 steps"),
    ],
)
def test_labels_and_samples_that_cannot_be(verdict, x: np.ndarray, y: np.ndarray, what: str) -> None:
    with pytest.raises(DataError, match=what):
        verdict(network(), x=x, y=y)


@pytest.mark.parametrize("y", [None, Y], ids=["no labels", "labels"])
def test_an_approximation_of_something_else_fails(verdict, monkeypatch: pytest.MonkeyPatch, y) -> None:
    def negated(kind: str, plan: Plan, steps: int, quantized: Mapping[str, Quantized] | None, opset: int):
        wrong = {name: replace(held, weight=-held.weight) for name, held in (quantized or {}).items()}
        return build(kind, plan, steps, wrong or None, opset)

    build = onnx_writing._build
    assert verdict(network(), y=y, formats=("onnx",), models=("scan", "scan-int8")) == "verified"
    monkeypatch.setattr(onnx_writing, "_build", negated)
    assert verdict(network(), y=y, formats=("onnx",), models=("scan", "scan-int8")) == "failed"


@pytest.mark.parametrize("y", [None, Y], ids=["no labels", "labels"])
def test_weights_negated_for_the_chip_fail(verdict, monkeypatch: pytest.MonkeyPatch, y) -> None:
    def negated(net: LavaNet, path: Path) -> None:
        layers = [replace(x, weight=-x.weight) if isinstance(x, Dense) else x for x in net.layers]
        write_net(replace(net, layers=tuple(layers)), path)

    monkeypatch.setattr(lava_writing, "write_net", negated)
    assert verdict(network(), y=y, formats=("lava",), lava_budget=1.0) == "failed"


def test_a_bundle_that_no_runtime_ran_is_not_verified(verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, _path: Path) -> None:
        raise MissingOptionalError(f"{name} is not installed.")

    monkeypatch.setattr(files, "backend", missing)
    assert verdict(network(), formats=("onnx",)) == "not verified"


def test_our_own_simulator_alone_verifies_nothing(verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing.NirWriter, "_foreign_checks", lambda _writer, _graph: ())
    assert verdict(network(), formats=("nir",)) == "not verified"
    beside_a_tie = both(readout(-10), thresholds(1 + 1e-6, 1))
    assert verdict(network(), beside_a_tie, formats=("nir",)) == "failed"


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_thresholds_that_are_no_numbers_are_refused(verdict, value: float) -> None:
    with pytest.raises(SnnDeployError, match="finite"):
        verdict(network(value))
