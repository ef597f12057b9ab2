"""Forty structures of others' NIR graphs open and give what plain steps give, or are refused truly."""

from __future__ import annotations

import h5py
import nir
import numpy as np
import pytest
import torch
from support.third_party import R, Row
from support.third_party_rows import ROWS

from snn_deploy.conformance.loops import Habits, run
from snn_deploy.core.errors import DataError, UnsupportedError
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.simulate.reference import Reference


def write(row: Row, path) -> None:
    R.begin()
    nir.write(path, row.make())
    with h5py.File(path, "r+") as file:
        if row.old:
            found = []
            file.visit(lambda name: found.append(name) if name.endswith("/v_reset") else None)
            for name in found:
                del file[name]
        if row.damage is not None:
            row.damage(file)


def test_there_are_enough():
    assert len({row.name for row in ROWS}) == len(ROWS) >= 30


@pytest.mark.parametrize("row", [row for row in ROWS if row.refused], ids=lambda row: row.name)
def test_is_refused_truly(row, tmp_path):
    write(row, tmp_path / "n.nir")
    with pytest.raises((DataError, UnsupportedError), match=row.refused):
        read_plan(tmp_path / "n.nir", row.reading)


@pytest.mark.parametrize("row", [row for row in ROWS if not row.refused], ids=lambda row: row.name)
def test_opens_and_runs(row, tmp_path):
    write(row, tmp_path / "n.nir")
    plan, notes = read_plan(tmp_path / "n.nir", row.reading)
    assert plan.shapes[plan.output] == row.target
    assert all(any(words in note for note in notes) for words in row.notes), notes
    x = torch.rand(12, 2, *plan.shapes[plan.input], generator=torch.Generator().manual_seed(0)).round()
    found = Reference(plan).run(x).output
    semantics = read_semantics(plan.graph)
    plain = semantics.reset == "zero" and semantics.spikes == "one" and semantics.integrator == "euler"
    if not plain:
        assert row.reading.writer is not None
        return
    feedback = tuple((a, b) for b, sources in plan.feedback.items() for a in sources)
    habits = Habits(semantics.dt, at_threshold=semantics.fires_at == ">=")
    wanted = run(plan.graph, x.double().numpy(), habits, feedback)[plan.output]
    assert found.any()
    np.testing.assert_allclose(found.double().numpy(), wanted, rtol=1e-4, atol=1e-4)
