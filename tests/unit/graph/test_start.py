"""Neurons that start at zero, away from the potential that they reset to."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import nir
import numpy as np
import pytest
import torch

from snn_deploy.core.assets import asset_dir
from snn_deploy.core.errors import DataError, UnsupportedError
from snn_deploy.export.base import Calibration
from snn_deploy.export.nir import NirWriter
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.options import NirOptions
from snn_deploy.graph.dynamics import discretise
from snn_deploy.graph.passes.to_chip.loihi import Lower
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.semantics import KEY, VERSION, Semantics, read_semantics, reset_of, write_semantics
from snn_deploy.graph.text import graph_text
from snn_deploy.simulate.onnx.runtime import OnnxRuntime
from snn_deploy.simulate.reference import Reference

DT = 1e-4
RESETS = ("zero", "subtract", "zero-next", "subtract-next", "subtract-raised")


def network(reset="subtract", start="zero", fires_at=">=") -> nir.NIRGraph:
    """A weight of 1 and two neurons with thresholds 1/2 and 3/4 that lie 1 above their reset potentials."""
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "weight": nir.Affine(np.eye(2, dtype=np.float32), np.zeros(2, np.float32)),
        "neurons": nir.IF(
            np.full(2, 1 / DT), np.array([0.5, 0.75], np.float32), np.array([-0.5, -0.25], np.float32)
        ),
        "output": nir.Output({"output": np.array([2])}),
    }
    names = list(nodes)
    graph = nir.NIRGraph(nodes, list(itertools.pairwise(names)), metadata={}, type_check=False)
    write_semantics(graph, Semantics(dt=DT).stating(reset=reset, start=start, fires_at=fires_at, timesteps=6))
    return graph


def by_hand(x, threshold, v_reset, start, reset, fires_at):
    """Spikes of one neuron, as :mod:`snn_deploy.graph.semantics` says them."""
    drop, v, spikes = threshold - v_reset, start, []

    def fires(v):
        return v >= threshold if fires_at == ">=" else v > threshold

    for a in x:
        owed = fires(v)
        h = v + a
        if reset == "zero-next" and owed:
            h = v_reset
        if reset == "subtract-next" and owed:
            h -= drop
        s = fires(h - drop * owed) if reset == "subtract-raised" else fires(h)
        spikes.append(int(s))
        v = h
        if reset == "zero" and s:
            v = v_reset
        if reset in {"subtract", "subtract-raised"} and s:
            v = h - drop
    return spikes


@pytest.mark.parametrize("fires_at", [">=", ">"])
@pytest.mark.parametrize("start", ["zero", "reset"])
@pytest.mark.parametrize("reset", RESETS)
def test_every_executor_starts_where_the_graph_says(reset, start, fires_at, tmp_path):
    graph = network(reset, start, fires_at)
    x = torch.randint(-2, 5, (6, 3, 2), generator=torch.Generator().manual_seed(0)) / 8
    given = Reference(graph).run(x).output
    for b in range(3):
        for n, (threshold, v_reset) in enumerate([(0.5, -0.5), (0.75, -0.25)]):
            begin = 0.0 if start == "zero" else v_reset
            wanted = by_hand(x[:, b, n].tolist(), threshold, v_reset, begin, reset, fires_at)
            assert given[:, b, n].tolist() == wanted
    calibration = Calibration(x, None)
    NirWriter(NirOptions(allow=("reset-in-metadata",))).write(graph, tmp_path, calibration)
    back = read_nir(tmp_path / "model.nir")
    assert torch.equal(Reference(back).run(x).output, given)
    if start == "zero":
        OnnxWriter().write(graph, tmp_path, calibration)
        assert torch.equal(OnnxRuntime(tmp_path / "model.scan.onnx").run(x).output, given)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_the_kit_starts_there_too(reset, tmp_path):
    graph = network(reset)
    x = torch.rand(6, 3, 2, generator=torch.Generator().manual_seed(1)) / 2
    writer = NirWriter(NirOptions(allow=("reset-in-metadata",)))
    writer.write(graph, tmp_path, Calibration(x, None))
    np.save(tmp_path / "x.npy", x.numpy())
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        f"sys.path.insert(0, {str(asset_dir('export'))!r})\n"
        "import run_nir\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "print(run_nir.run(folder / 'model.nir', np.load(folder / 'x.npy'))[0].tolist())\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    given = json.loads(ran.stdout.splitlines()[-1])
    assert given == Reference(graph).run(x).output.tolist()


def test_the_start_is_stored_and_older_files_start_at_their_reset_potential():
    graph = network()
    assert read_semantics(graph).start == "zero"
    content = json.loads(graph.metadata[KEY])
    assert content["version"] == VERSION
    del content["start"]
    graph.metadata[KEY] = json.dumps({**content, "version": 2})
    assert read_semantics(graph).start == "reset"
    graph.metadata[KEY] = json.dumps({**content, "version": 3, "start": "somewhere"})
    with pytest.raises(DataError, match="'start' is 'somewhere'"):
        read_semantics(graph)


def test_the_text_of_a_graph_says_so():
    assert "start at zero" in graph_text(network())
    assert "start at" not in graph_text(network(start="reset"))


def test_whether_a_neuron_starts_at_its_reset_potential():
    graph = network()
    for start, found in (("zero", False), ("reset", True)):
        semantics = Semantics(dt=DT, start=start)
        assert discretise(graph.nodes["neurons"], semantics).starts_at_reset is found
        assert reset_of(graph.nodes["neurons"], semantics) == "zero"


@pytest.mark.parametrize("reader", ["norse", "snntorch", "sinabs", "spikingjelly"])
def test_readers_that_start_at_the_reset_potential_refuse(reader, tmp_path):
    writer = NirWriter(NirOptions(reader=reader, allow=("reset-in-metadata",)))
    problems = writer.check(network("zero"))
    assert any("away from its reset potential" in problem.what for problem in problems)


def test_lava_refuses():
    with pytest.raises(UnsupportedError, match="starts at 0, away from v_reset"):
        Lower()(network("zero"))
