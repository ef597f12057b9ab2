"""Random recurrent and delayed graphs in the hub, ONNX, fixed point, C and Lava: not one spike differs.

Nothing is rounded on the way (:mod:`support.recurrent_graphs`), so that all of them must be equal.
"""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from oracles.loihi_integer import simulate
from support.c_programs import compiled
from support.graphs import graph
from support.recurrent_graphs import DT, Case, random_case

from snn_deploy.export.base import Calibration
from snn_deploy.export.c.runtime import CProgram
from snn_deploy.export.c.writer import CWriter
from snn_deploy.export.lava import LavaWriter
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.options import COptions, LavaOptions, OnnxOptions
from snn_deploy.export.pipelines import lowered
from snn_deploy.graph.lava.io import read_net, write_net
from snn_deploy.graph.lava.net import Dense, LavaNet
from snn_deploy.graph.passes.quantize.quantize import Quantize
from snn_deploy.graph.passes.to_chip.from_lava import FromLava
from snn_deploy.graph.passes.to_chip.windows import Matrix
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.graph.types import Trace
from snn_deploy.simulate.lava.client import Lava
from snn_deploy.simulate.lava.environment import lava_environment
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.simulate.onnx.runtime import OnnxRuntime
from snn_deploy.simulate.reference import Reference

GRAPHS = 200
IN_A_TEST = 20
LIVE = 24


def written(case: Case, folder: Path) -> tuple[LavaNet, Trace]:
    """The case as a file that was read again, and what the hub computes."""
    reference = Reference(make_plan(case.graph))
    expected = reference.run(case.x, record=True)
    made = lowered(case.graph).then(Quantize(case.x, expected.records)).subject
    assert all((scale == 1).all() for scale in made.scales), "the case is made so that nothing is rounded"
    write_net(made.net, folder / "model.net")
    return read_net(folder / "model.net"), expected


def assert_same(found: Trace, expected: Trace, where: object) -> None:
    assert torch.equal(found.output, expected.output), where
    for name in found.records.keys() & expected.records.keys():
        assert torch.equal(found.records[name], expected.records[name]), (where, name)


def assert_equal_everywhere(seed: int, folder: Path) -> None:
    """Hub, ONNX, simulator, plain loops over integers, and the graph of the file."""
    folder.mkdir()
    case = random_case(seed)
    net, expected = written(case, folder)
    ours = Loihi(net)
    found = ours.run(case.x, record=True)
    assert set(Reference(case.graph).layers) <= found.records.keys(), (
        "every population of the hub can be compared"
    )
    assert_same(found, expected, seed)
    x = case.x.numpy().astype(np.int64)
    for sample in range(x.shape[1]):
        layers = zip(net.names, simulate(net, x[:, sample]), strict=True)
        probed = ours.probe(case.x[:, sample : sample + 1])
        for name, states in layers:
            assert np.array_equal(probed[name].spikes[:, 0].numpy(), states["s"]), (seed, name)

    options = OnnxOptions(models=("scan",))
    file = OnnxWriter(options).write(case.graph, folder, Calibration(case.x)).files["scan"]
    assert_same(OnnxRuntime(folder / file).run(case.x, record=True), expected, (seed, "onnx"))
    assert_back_and_forth(net, case, expected)


def assert_back_and_forth(net: LavaNet, case: Case, expected: Trace) -> None:
    """The graph of a file fires as the file, and becomes the same layers again."""
    bare = net.readout is not None and net.readout.kind == "current"  # weights at the end, without neurons
    weights = [*(f"{name}.fc" for name in net.names[:-1]), net.names[-1] if bare else "last.fc"]
    graph = FromLava(weights_names=weights)(net)
    found = Reference(graph, dtype=torch.float64).run(case.x.double(), record=True)
    records = {name: spikes.float() for name, spikes in found.records.items()}
    assert_same(Trace(found.output.float(), records), expected, "the graph of the file")
    layers = lowered(graph).subject.layers
    assert len(layers) == len(net.populations)
    for layer, population in zip(layers, net.populations, strict=True):
        assert isinstance(layer.map, Matrix) and isinstance(population, Dense)
        assert np.array_equal(layer.map.weight, population.weight)
        assert (layer.recurrent is None) == (population.recurrent is None)
        if layer.recurrent is not None:
            assert np.array_equal(layer.recurrent, population.recurrent)
        zero = np.zeros(population.weight.shape, np.int64)
        now, before = (zero if d is None else d for d in (layer.delay, population.delay))
        assert np.array_equal(now[population.weight != 0], before[population.weight != 0])


@pytest.mark.parametrize("seed", range(0, GRAPHS, GRAPHS // IN_A_TEST))
def test_some_graphs(seed: int, tmp_path: Path) -> None:
    assert_equal_everywhere(seed, tmp_path / "graph")


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, GRAPHS, IN_A_TEST))
def test_all_graphs(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + IN_A_TEST):
        assert_equal_everywhere(seed, tmp_path / str(seed))


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("seed", range(3))
def test_some_programs_in_c(seed: int, tmp_path: Path) -> None:
    case = random_case(seed)
    net, expected = written(case, tmp_path)
    assert_same(compiled(net, tmp_path / "c").run(case.x, record=True), expected, seed)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("first", range(0, GRAPHS, IN_A_TEST))
def test_all_programs_in_c(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + IN_A_TEST):
        folder = tmp_path / str(seed)
        folder.mkdir()
        case = random_case(seed)
        net, expected = written(case, folder)
        assert_same(compiled(net, folder / "c").run(case.x, record=True), expected, seed)


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.skipif(lava_environment() is None, reason="needs the Lava environment")
@pytest.mark.parametrize("seed", range(LIVE))
def test_some_graphs_in_lava(seed: int, tmp_path: Path) -> None:
    case = random_case(seed)
    net, expected = written(case, tmp_path)
    assert_same(Lava(net).run(case.x[:, :2], record=True), _first(expected, 2), seed)


def _first(trace: Trace, samples: int) -> Trace:
    records = {name: spikes[:, :samples] for name, spikes in trace.records.items()}
    return Trace(trace.output[:, :samples], records)


def braille() -> tuple[nir.NIRGraph, torch.Tensor]:
    """Real weights in the size of networks that read Braille: 12 inputs, 38 recurrent neurons, 7 outputs."""
    rng = np.random.default_rng(0)

    def cuba(count: int) -> nir.CubaLIF:
        one = np.ones(count)
        shares = {"tau_syn": DT / 0.4 * one, "tau_mem": DT / 0.3 * one, "w_in": one / 0.4, "r": one / 0.3}
        return nir.CubaLIF(**shares, v_leak=0 * one, v_threshold=one, v_reset=0 * one)

    def weights(*shape: int) -> nir.Linear:
        return nir.Linear(rng.normal(0.08, 0.25, shape).astype(np.float32))

    nodes = {
        "fc1": weights(38, 12),
        "n": cuba(38),
        "back": weights(38, 38),
        "fc2": weights(7, 38),
        "m": cuba(7),
    }
    nodes["back"].weight = 0.4 * nodes["back"].weight - 0.04
    edges = list(itertools.pairwise(["input", "fc1", "n", "fc2", "m", "output"]))
    made = graph(nodes, [*edges, ("n", "back"), ("back", "n")], (12,), (7,))
    write_semantics(made, Semantics(dt=DT, timesteps=40))
    return made, torch.from_numpy((rng.random((40, 6, 12)) < 0.2).astype(np.float32))


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_braille_network_in_c_and_near_the_hub(tmp_path: Path) -> None:
    """Written by the writer of C from real weights: C repeats our simulator, and 8 bits move few spikes."""
    made, x = braille()
    files = CWriter(COptions()).write(made, tmp_path, Calibration(x)).files
    ours = Loihi(tmp_path / files["net"]).run(x, record=True)
    assert_same(CProgram(tmp_path / files["net"]).run(x, record=True), ours, "C")
    reference = Reference(made)
    free = reference.run(x, record=True).records
    forced = Loihi(tmp_path / files["net"]).run(x, record=True, forced={n: free[n] for n in reference.layers})
    for name in reference.layers:
        assert 0.02 < free[name].mean() < 0.9
        assert (forced.records[name] != free[name]).float().mean() < 0.02, name


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.skipif(lava_environment() is None, reason="needs the Lava environment")
def test_a_braille_network_in_lava(tmp_path: Path) -> None:
    made, x = braille()
    files = LavaWriter(LavaOptions()).write(made, tmp_path, Calibration(x)).files
    net = read_net(tmp_path / files["net"])
    assert_same(Lava(net).run(x[:, :2], record=True), Loihi(net).run(x[:, :2], record=True), "Lava")


def test_the_graphs_vary() -> None:
    """Loops, every form of delays, every readout, counts, leaks; and they spike."""
    traits: Counter[str] = Counter()
    rates = []
    for seed in range(GRAPHS):
        case = random_case(seed)
        traits.update(case.traits)
        if seed % IN_A_TEST == 0:
            records = Reference(case.graph).run(case.x, record=True).records
            rates += [float(s.mean()) for name, s in records.items() if name.startswith("n")]
    wanted = {"recurrent", "before", "behind", "branches", "held", "leaks", "counts"}
    assert all(traits[trait] >= 20 for trait in wanted | {"spikes", "weights", "integrator", "late"}), traits
    assert 0.1 < np.mean(rates) < 0.9
