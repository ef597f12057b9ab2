"""The picture of a stream fits a terminal of 80 columns and shows what the network saw."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.cli.stream_view import frame_rows, picture, score_rows
from snn_deploy.tasks.stream import StepResult


def result(shape: tuple[int, ...], classes: int = 10) -> StepResult:
    frame = np.zeros(shape, np.uint8)
    frame.reshape(-1)[0] = 1
    scores = np.linspace(0, 1, classes, dtype=np.float32)
    return StepResult(0, 2, frame, scores, scores, classes - 1, "last", 0.5, False, 1e-3)


@pytest.mark.parametrize("shape", [(2, 16, 16), (1, 34, 34), (2, 128, 128), (2, 480, 640), (700,), (3,)])
@pytest.mark.parametrize("classes", [1, 10, 101])
def test_it_fits(shape, classes):
    lines = picture(result(shape, classes), "a" * 300).plain.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 18


def test_events_are_dark_where_they_are():
    rows = frame_rows(result((2, 4, 4)).frame)
    assert rows == ["█   ", "    ", "    ", "    "]


def test_bars_show_the_best_classes_and_mark_the_decision():
    rows = score_rows(result((2, 4, 4), 20))
    assert len(rows) == 16
    assert rows[-1].startswith(">  19 ████")
    assert rows[0].startswith("    4 ")
