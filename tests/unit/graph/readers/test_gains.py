"""What is said of a step that one neuron suggests and another contradicts."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from support.graphs import graph

from snn_deploy.graph.readers.reading import read_plan

DT = 1e-4


def full(value: float, count: int = 3) -> np.ndarray:
    return np.full(count, value)


def lif(r: float) -> nir.LIF:
    return nir.LIF(full(10 * DT), full(r), full(0), full(1), full(0))


def cuba(w_in: float, r: float) -> nir.CubaLIF:
    return nir.CubaLIF(full(4 * DT), full(10 * DT), full(r), full(0), full(1), full(0), full(w_in))


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (lif(10), lif(1), "except b (gain 0.1)."),
        (cuba(4, 10), lif(1), "except b (gain 0.1)."),
        (cuba(4, 10), cuba(1, 10), "except b (gain 0.25)."),
        (
            lif(10),
            nir.LIF(full(10 * DT), np.array([1.0, 1, 1]), full(0), full(1), full(0)),
            "except b (gain 0.1).",
        ),
    ],
)
def test_the_neurons_that_scale_their_input_are_named(first, second, said, tmp_path):
    eye = nir.Linear(np.eye(3, dtype=np.float32))
    edges = [("input", "w"), ("w", "a"), ("a", "v"), ("v", "b"), ("b", "output")]
    nir.write(tmp_path / "n.nir", graph({"w": eye, "a": first, "v": eye, "b": second}, edges, (3,), (3,)))
    _, notes = read_plan(tmp_path / "n.nir")
    (note,) = (note for note in notes if "The step is 0.0001 s" in note)
    assert note.endswith(said)
    assert "every neuron" not in note
