"""Cells of the benchmarks' tables: turns, ratios, and what is said of peers and aims."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.benchmarks import FOLDER, imported

SCRIPT = """
import sys
from cells import serve

count = 0
def work():
    global count
    count += 1
serve(work, sys.argv[1])
"""


@pytest.fixture(scope="module")
def scripts() -> Iterator[SimpleNamespace]:
    with imported(bench="bench", cells="cells", quiet="quiet_run") as found:
        yield found


def measured(scripts: SimpleNamespace, *walls: float, digest: str = ""):
    return scripts.cells.Measured([scripts.bench.Seconds(wall, 2 * wall) for wall in walls], digest, 100.0)


def test_cells_are_processes_that_take_turns(scripts: SimpleNamespace, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    paths = os.pathsep.join((str(FOLDER), str(FOLDER.parent)))
    found = scripts.cells.take_turns(
        script, {"a": ("one",), "b": ("two",)}, 3, os.environ | {"PYTHONPATH": paths}
    )
    assert {name: (cell.digest, len(cell.rounds)) for name, cell in found.items()} == {
        "a": ("one", 3),
        "b": ("two", 3),
    }
    assert all(1 < cell.peak < 1000 for cell in found.values())


def test_a_cell_that_ends_ends_the_others(scripts: SimpleNamespace, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit(1)")
    with pytest.raises(SystemExit, match="A cell ended"):
        scripts.cells.take_turns(script, {"a": ()}, 1, os.environ)


def test_what_a_long_work_does_more_than_a_short_one_per_piece(scripts: SimpleNamespace) -> None:
    more = measured(scripts, 5.0, 3.0).beyond(measured(scripts, 1.0, 2.0)).per(4)
    assert [tuple(time) for time in more.rounds] == [(0.5, 1.0), (0.75, 1.5)]


def test_peers_that_win_are_said_but_not_floors_or_other_ways_of_ours(
    scripts: SimpleNamespace, capsys
) -> None:
    made, cells = (
        scripts.bench.Table("A title", "Notes.", "what", "side", *scripts.cells.COLUMNS),
        scripts.cells,
    )
    rows = {
        "ours": measured(scripts, 2.0, 3.0, 4.0),
        "ours, twice": measured(scripts, 1.0),
        "a floor": measured(scripts, 1.0),
        "fast": measured(scripts, 1.0),
        "slow": measured(scripts, 4.0),
    }
    cells.add_rows(made, ["batch 1"], rows, floors=["a floor"])
    cells.reach(made, "against slow", rows["slow"], rows["ours"], 2)
    cells.reach(made, "against fast", rows["fast"], rows["ours"], 1)
    made.close(None)
    said = capsys.readouterr().out.splitlines()
    assert "| batch 1 | ours | 2,000 | 3,000 | 2.00 | 4,000 | 100 | 1.00 | 1.00 |" in said
    assert "Where a peer wins: fast (batch 1: 2.00 times as fast)." in said
    assert "* against slow: 2.00 times, 2.00 in processor time; to reach: 2: reached." in said
    assert "* against fast: 0.50 times, 0.50 in processor time; to reach: 1: NOT reached." in said


def test_sides_that_compute_something_else_are_not_shown(scripts: SimpleNamespace) -> None:
    rows = {
        "ours": measured(scripts, 1.0, digest="a"),
        "peer": measured(scripts, 1.0, digest="b"),
        "floor": measured(scripts, 1.0),
    }
    with pytest.raises(SystemExit, match="batch 1: what was computed differs"):
        scripts.cells.add_rows(scripts.bench.Table("A title", "Notes."), ["batch 1"], rows)


def test_the_quiet_run_finds_its_scripts_and_says_what_is_missing(
    scripts: SimpleNamespace, tmp_path: Path, monkeypatch
) -> None:
    quiet = scripts.quiet
    assert all((FOLDER / f"{row.script}.py").is_file() for row in quiet.ROWS.values())
    monkeypatch.delenv("EVENT_JUDGES", raising=False)
    needy = quiet.ROWS["binning-aedat4"]
    assert quiet.run("name", needy, tmp_path, 10) == "not here: EVENT_JUDGES names no environment"
    assert quiet.run("name", quiet.ROWS["sharded"], tmp_path, 0) == "not run: no time left"
