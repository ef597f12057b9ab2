"""The golden set: safe from rounding, telling, and read right by us."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn_deploy.conformance import loops
from snn_deploy.conformance.changes import HABITS
from snn_deploy.conformance.golden_structure import golden_set
from snn_deploy.conformance.judge import admitted, judge
from snn_deploy.conformance.known import READERS
from snn_deploy.graph.readers.io import write_nir
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.timing import Reading
from snn_deploy.simulate.reference import Reference

ROWS = golden_set()
ASKS_FOR_TIES = {"at the threshold", "at the threshold, LIF"}
ASKED = {
    "spike in its step": "spikes came a step late",
    "reset discards": "a spike subtracted the threshold",
    "one spike per step": "a neuron gave several spikes in a step",
    "no lower bound": "membranes had minus their threshold as lower bound",
    "state is kept": "the state were lost after every step",
    "at the threshold": "a membrane at its threshold fired",
    "at the threshold, LIF": "a membrane at its threshold fired",
    "LIF, r = 1": "the input were added unscaled",
    "LIF, r = tau / dt": "r and w_in were 1",
    "CubaLIF": "the membrane saw the current of the step before",
    "CubaLIF, r = w_in = 1": "the input were added unscaled",
}
"""By row the habit that it is there for."""


def asked():
    """Every row with each of its carriers."""
    return [(row, carrier) for row in ROWS for carrier in row.carriers or ("",)]


def test_names_are_unlike():
    assert len({row.name for row in ROWS}) == len(ROWS) >= 50


def test_no_membrane_is_near_its_threshold(monkeypatch):
    """Nearer than 0.02 %, some hundred times the rounding of float32."""
    nearest = []
    fire = loops._fire

    def watched(v, p, state, habits):
        nearest.append(float(np.abs(v / p["v_threshold"] - 1).min()))
        return fire(v, p, state, habits)

    monkeypatch.setattr(loops, "_fire", watched)
    for row, carrier in asked():
        if row.name not in ASKS_FOR_TIES:
            for meaning in admitted(row.make(1.0, carrier), 1.0, row):
                nearest.clear()
                meaning.answer(row.x)
                assert min(nearest, default=1.0) > 2e-4, (row.name, carrier, meaning.habits.integrator)


def test_rows_tell_what_they_ask():
    """The habit that a row asks for changes its answer, with every carrier and every way of a step."""
    for row, carrier in asked():
        if row.name in ASKED:
            (change,) = (change for change in HABITS if change.text == ASKED[row.name])
            meanings = admitted(row.make(1.0, carrier), 1.0, row)
            changed = change.on(meanings[0]).answer(row.x)
            assert not any(np.array_equal(changed, m.answer(row.x)) for m in meanings), (row.name, carrier)


def test_the_four_ways_of_a_step_differ():
    row = next(row for row in ROWS if row.name == "a fast leak")
    answers = [meaning.answer(row.x).tobytes() for meaning in admitted(row.make(1.0, ""), 1.0, row)]
    assert len(set(answers)) == 4


@pytest.mark.parametrize("step", [1e-4, 1e-3, 1.0])
def test_we_read_all_of_it_right(step, tmp_path):
    for row, carrier in asked():
        dt = row.step or step
        graph = row.make(dt, carrier)
        write_nir(graph, tmp_path / "golden.nir")
        plan, _ = read_plan(tmp_path / "golden.nir", Reading(dt=dt))
        found = Reference(plan).run(torch.from_numpy(row.x).float()).output.double().numpy()
        verdict, _ = judge(row, graph, dt, found)
        assert (verdict.mark, verdict.how) == ("right", ""), (row.name, carrier, verdict.words)


def test_scripts_are_there():
    assert all(reader.script.is_file() for reader in READERS.values())
