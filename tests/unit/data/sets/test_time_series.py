from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats.series import read_series
from snn_deploy.data.options.sets import TimeSeriesOptions
from snn_deploy.data.sets.time_series import time_series

HEAD = "# said by someone\n@problemName Two\n@timeStamps false\n@classLabel true low high\n@data\n"
TRAIN = HEAD + "1,2,3:4,5,6:low\n7:8:high\n\n1,1:2,2:low\n3,5:0,1:high\n"
TEST = HEAD + "2,4,6,8:1,1,1,1:high\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Two_TRAIN.ts").write_text(TRAIN)
    (tmp_path / "Two_TEST.ts").write_text(TEST)
    return tmp_path


def load(folder, timesteps=3):
    options = TimeSeriesOptions(problem="Two", dimensions=2, root=folder, validation=0.5)
    return time_series(options, timesteps=timesteps)


def test_a_file_is_read_series_by_series(folder):
    file = read_series(folder / "Two_TRAIN.ts")
    assert file.classes == ("low", "high")
    assert file.labels.tolist() == [0, 1, 0, 1]
    assert [series.tolist() for series in file.series[:2]] == [[[1, 4], [2, 5], [3, 6]], [[7, 8]]]


def test_frames_are_standardised_by_training_steps_and_empty_behind_the_end(folder):
    data = load(folder)
    assert (data.shape, data.classes) == ((1, 1, 2), ("low", "high"))
    assert [len(split) for split in (data.train, data.validation, data.test)] == [2, 2, 1]
    steps = np.array([[1, 4], [2, 5], [3, 6], [7, 8]], np.float64)  # of the two that are kept
    mean, deviation = steps.mean(0), steps.std(0)
    x = data.train.batch(torch.arange(2))
    assert x.shape == (3, 2, 1, 1, 2)
    np.testing.assert_allclose(x[:, 0, 0, 0], (steps[:3] - mean) / deviation, rtol=1e-6)
    np.testing.assert_allclose(x[0, 1, 0, 0], (steps[3] - mean) / deviation, rtol=1e-6)
    assert not x[1:, 1].any()
    tested = data.test.batch(torch.arange(1))[:, 0, 0, 0]
    np.testing.assert_allclose(tested, (np.array([[2, 1], [4, 1], [6, 1]]) - mean) / deviation, rtol=1e-6)
    assert "1 of 5 series are longer than 3 steps, and cut." in data.notes


def test_other_content_is_another_digest(folder):
    first = load(folder).digest
    assert load(folder).digest == first
    (folder / "Two_TEST.ts").write_text(TEST.replace("4,", "5,"))
    assert load(folder).digest != first


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TRAIN.replace("@data", "@dat"), "no line @data"),
        (HEAD, "no series behind"),
        (TRAIN.replace("true low high", "false"), "names 0 classes"),
        (TRAIN.replace("@timeStamps false", "@timestamps true"), "has time stamps"),
        (TRAIN.replace("6:low", "6:lower"), "Line 6 .* of the class 'lower'"),
        (TRAIN.replace("4,5,6", "4,5"), "Line 6 .* different lengths"),
        (TRAIN.replace("4,5,6", "4,?,6"), "is damaged"),
        (TRAIN.replace("4,5,6", "4,nan,6"), "Line 6 .* has gaps"),
        (TRAIN.replace("7:8:high", "7:high"), "differ in their number of dimensions"),
        ("\x00\xff", "no line @data"),
    ],
)
def test_damage_is_named(folder, text, said):
    (folder / "Two_TRAIN.ts").write_text(text)
    with pytest.raises(DataError, match=said):
        load(folder)


def test_two_files_that_do_not_belong_together(folder):
    (folder / "Two_TEST.ts").write_text(TEST.replace("low high", "high low"))
    with pytest.raises(DataError, match="different classes"):
        load(folder)


def test_other_dimensions_than_stated(folder):
    options = TimeSeriesOptions(problem="Two", dimensions=3, root=folder)
    with pytest.raises(DataError, match=r"'Two_TRAIN\.ts' have 2 dimensions, not 3") as caught:
        time_series(options, timesteps=3)
    assert caught.value.hint == "-o data.dimensions=2"


def test_where_there_are_none_it_says_where_to_get_them(tmp_path):
    with pytest.raises(DataError, match=r"no Two_TRAIN\.ts and no Two_TEST\.ts") as caught:
        load(tmp_path)
    assert "aeon" in str(caught.value.hint)


def test_the_files_of_the_package_aeon_are_found_without_importing_it(folder, tmp_path, monkeypatch):
    package = tmp_path / "aeon"
    place = package / "datasets" / "data" / "Two"
    place.mkdir(parents=True)
    for name in ("Two_TRAIN.ts", "Two_TEST.ts"):
        (folder / name).rename(place / name)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SNN_DEPLOY_DATA", str(tmp_path / "none"))
    data = time_series(TimeSeriesOptions(problem="Two", dimensions=2, validation=0.5), timesteps=3)
    assert len(data.train) == 2
    assert not isinstance(sys.modules.get("aeon"), types.ModuleType)
