"""Counts survive the disk unchanged; damaged and hostile files are refused."""

from __future__ import annotations

import json
import random
from dataclasses import fields, is_dataclass, replace

import nir
import numpy as np
import pytest
import torch
from support.graphs import conv, graph, lif, spike_trace
from support.mutation import blind

from snn_deploy.core.errors import DataError
from snn_deploy.energy.count import count
from snn_deploy.energy.counts import concatenate
from snn_deploy.energy.store import load_counts, save_counts
from snn_deploy.graph.plan import make_plan


def plan():
    nodes = {
        "c": conv(3, 1, 4),
        "n": lif((3, 4, 4)),
        "f": nir.Flatten({"input": np.array([3, 4, 4])}, 0),
        "w": nir.Linear(np.ones((2, 48), np.float32)),
    }
    edges = [("input", "c"), ("c", "n"), ("n", "f"), ("f", "w"), ("w", "output")]
    return make_plan(graph(nodes, edges, (1, 4, 4), (2,)))


def counted(x):
    return count(plan(), spike_trace(plan(), x))


def assert_same(a, b):
    for field in fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, y, strict=True)
        elif isinstance(x, tuple) and x and is_dataclass(x[0]):
            for left, right in zip(x, y, strict=True):
                assert_same(left, right)
        else:
            assert x == y


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_round_trip(tmp_path, scale):
    counts = counted(torch.rand(3, 2, 1, 4, 4).round() * scale + (scale < 1) * torch.rand(3, 2, 1, 4, 4))
    save_counts(counts, tmp_path / "counts.npz")
    assert_same(load_counts(tmp_path / "counts.npz"), counts)
    assert [p.name for p in tmp_path.iterdir()] == ["counts.npz"]


def test_batches_join_to_the_whole():
    x = torch.poisson(torch.full((3, 5, 1, 4, 4), 0.4))
    whole = count(plan(), trace := spike_trace(plan(), x))
    parts = []
    for part in (slice(0, 2), slice(2, 5)):
        records = {name: record[:, part] for name, record in trace.records.items()}
        parts.append(count(plan(), replace_records(trace, records)))
    assert_same(concatenate(parts), whole)


def replace_records(trace, records):
    return type(trace)(trace.output, records)


def test_joining_takes_the_widest_class():
    binary = counted(torch.ones(3, 1, 1, 4, 4))
    graded = counted(3 * torch.ones(3, 1, 1, 4, 4) - torch.eye(4))
    analog = counted(torch.rand(3, 1, 1, 4, 4))
    silent = counted(torch.zeros(3, 1, 1, 4, 4))
    edge = concatenate([binary, graded, silent]).edges[0]
    assert (edge.edge_class, edge.quantum, edge.units.shape) == ("graded", 1.0, (3, 3))
    edge = concatenate([binary, analog]).edges[0]
    assert (edge.edge_class, edge.quantum, edge.units) == ("analog", None, None)


def test_joining_two_magnitudes_is_analog():
    """{0, 0.7} in one batch and {0, 0.5} in the next are not one kind of spike."""
    parts = [counted(value * torch.ones(3, 1, 1, 4, 4)) for value in (0.7, 0.5)]
    assert concatenate(parts).edges[0].edge_class == "analog"
    same = concatenate([parts[0], parts[0]]).edges[0]
    assert (same.edge_class, same.quantum) == ("binary", pytest.approx(0.7))


def test_only_one_network_joins():
    counts = counted(torch.zeros(3, 1, 1, 4, 4))
    with pytest.raises(DataError, match="different"):
        concatenate([counts, replace(counts, timesteps=4)])
    with pytest.raises(DataError, match="no counts"):
        concatenate([])


def rewrite(path, change):
    with np.load(path) as content:
        arrays = dict(content)
    header = json.loads(arrays["header"].tobytes())
    change(header, arrays)
    if "header" in arrays:
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, a: h.update(schema_version=2), "schema_version"),
        (lambda h, a: h.update(extra=1), "extra"),
        (lambda h, a: h["edges"][0].update(edge_class="round"), "edge_class"),
        (lambda h, a: a.pop("edge.0.sites"), "edge.0.sites"),
        (lambda h, a: a.pop("header"), "header"),
        (lambda h, a: a.update({"edge.0.sites": a["edge.0.sites"].astype(float)}), "int64"),
        (lambda h, a: a.update({"neuron.0.spikes": -1 - a["neuron.0.spikes"]}), "non-negative"),
        (lambda h, a: h.update(timesteps=99), "expected non-negative int64"),
        (lambda h, a: a.update({"edge.0.sites": np.array([None], dtype=object)}), "Object arrays"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, message):
    path = tmp_path / "counts.npz"
    save_counts(counted(torch.zeros(3, 2, 1, 4, 4)), path)
    rewrite(path, change)
    with pytest.raises(DataError, match=message):
        load_counts(path)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(DataError, match="no file"):
        load_counts(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not a zip")
    with pytest.raises(DataError, match="is damaged"):
        load_counts(tmp_path / "text.npz")
    cut = tmp_path / "cut.npz"
    save_counts(counted(torch.zeros(3, 2, 1, 4, 4)), cut)
    cut.write_bytes(cut.read_bytes()[:-40])
    with pytest.raises(DataError, match="is damaged"):
        load_counts(cut)


def test_bombs_are_refused_before_unpacking(tmp_path, monkeypatch):
    path = tmp_path / "counts.npz"
    save_counts(counted(torch.zeros(3, 2, 1, 4, 4)), path)
    monkeypatch.setattr("snn_deploy.energy.store.MAX_BYTES", 100)
    with pytest.raises(DataError, match="unpacks to"):
        load_counts(path)


def test_whatever_is_done_to_the_bytes_is_damage_or_harmless(tmp_path):
    path = tmp_path / "counts.npz"
    save_counts(counted(torch.ones(3, 2, 1, 4, 4)), path)
    whole, damaged = path.read_bytes(), 0
    for seed in range(300):
        path.write_bytes(blind(whole, random.Random(seed)))
        try:
            load_counts(path)
        except DataError as error:
            assert str(path) in error.message
            damaged += 1
    assert damaged > 250
