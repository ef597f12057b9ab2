from __future__ import annotations

import json
from pathlib import Path

import nir
import pytest
from support.graphs import graph, lif

from snn_deploy.core.errors import DataError
from snn_deploy.graph.passes.to_chip.input_grid import InputGrid
from snn_deploy.graph.readers.io import read_nir, write_nir
from snn_deploy.graph.trained_form import (
    KEY,
    TrainedForm,
    read_trained_form,
    real_numbers_note,
    write_trained_form,
)

FORM = TrainedForm("loihi2", 4, {"n": 12.5}, {"read": 1 / 3}, InputGrid(0.25, (0, 15), 0.0))


def some_graph() -> nir.NIRGraph:
    return graph({"n": lif((3,))}, [("input", "n"), ("n", "output")], (3,), (3,))


def test_it_survives_a_file(tmp_path: Path) -> None:
    net = some_graph()
    assert read_trained_form(net) is None and real_numbers_note(net) == ()
    write_trained_form(net, FORM)
    write_nir(net, tmp_path / "net.nir")
    assert read_trained_form(read_nir(tmp_path / "net.nir")) == FORM
    assert "4-bit" in real_numbers_note(net)[0]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"version": 2}, "version 2"),
        ({"bits": 1}, "1 bits"),
        ({"bits": 9}, "9 bits"),
        ({"bits": None}, "damaged"),
        ({"scales": {"n": 0}}, "not positive"),
        ({"scales": {"n": "nan"}}, "not positive"),
        ({"scales": [1]}, "damaged"),
        ({"thresholds": {"n": -1}}, "not positive"),
        ({"thresholds": None}, "damaged"),
        ({"input_scale": -1}, "not positive"),
        ({"input_range": [0, 1 << 40]}, "input range"),
        ({"input_range": [0]}, "damaged"),
        ({"input_range": [2, 1]}, "input range"),
    ],
)
def test_damage_is_named(change: dict[str, object], what: str) -> None:
    net = some_graph()
    write_trained_form(net, FORM)
    net.metadata[KEY] = json.dumps({**json.loads(net.metadata[KEY]), **change})
    with pytest.raises(DataError, match=what):
        read_trained_form(net)


def test_text_that_is_no_json_is_damage() -> None:
    net = some_graph()
    net.metadata[KEY] = "{"
    with pytest.raises(DataError, match="damaged"):
        read_trained_form(net)
