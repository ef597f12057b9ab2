from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from support.events import rows, table

from snn_deploy.core.registry import DATASETS
from snn_deploy.data.options.sets import DigitsDvsOptions
from snn_deploy.data.sets import synthetic
from snn_deploy.data.sets.synthetic import CAMERA, digits_dvs, recordings

DIGEST = """
import json, sys
from pathlib import Path
from snn_deploy.core.registry import DATASETS
entry = DATASETS.get("digits-dvs")
data = entry.factory(entry.options(), timesteps=4, cache=Path(sys.argv[1]))
print(json.dumps([data.digest, "sklearn" in sys.modules]))
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(cache):
    return digits_dvs(DigitsDvsOptions(), timesteps=4, cache=cache)


def test_registry_knows_it():
    entry = DATASETS.get("digits-dvs")
    assert (entry.factory, entry.options) == (digits_dvs, DigitsDvsOptions)
    assert entry.summary.startswith("1,797 real 8x8 digits")


def test_shape_and_split(data):
    assert data.shape == (2, 16, 16)
    assert data.classes == tuple("0123456789")
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [1078, 269, 450]
    labels = torch.cat([split.labels for split in splits])
    everything = torch.cat([split.rows for split in splits])
    assert everything.sort().values.tolist() == list(range(1797))
    assert labels[everything.argsort()].tolist() == load_digits().target.tolist()
    for split in splits:
        share = split.labels.bincount() / labels.bincount()
        assert (share - len(split) / 1797).abs().max() < 0.01


def test_frames_are_binary_and_neither_empty_nor_full(data):
    frames = data.train.frames
    assert frames.dtype == torch.uint8
    assert frames.unique().tolist() == [0, 1]
    filled = frames.float().mean((3, 4))
    assert filled.min() > 0.02
    assert filled.max() < 0.5


def test_frames_are_those_of_the_recordings(data):
    images = load_digits().images / 16
    for n, events in enumerate(table(e, CAMERA.sensor) for e in recordings(images[:3])):
        frames = np.zeros((4, *CAMERA.sensor), int)
        first, last = events["t"][0], events["t"][-1]
        k = np.minimum((events["t"] - first) // ((last - first) // 4), 3)
        frames[k, events["p"], events["y"], events["x"]] = 1
        np.testing.assert_array_equal(data.train.frames[n].numpy(), frames)


def test_chunks_do_not_matter(monkeypatch):
    images = load_digits().images[:9] / 16
    together = [rows(events, CAMERA.sensor) for events in recordings(images)]
    monkeypatch.setattr(synthetic, "_CHUNK", 4)
    assert [rows(events, CAMERA.sensor) for events in recordings(images)] == together


def test_digits_stay_in_view():
    """The zoomed image and its path fit the sensor."""
    assert 8 * CAMERA.zoom + 2 * CAMERA.radius <= CAMERA.size


def test_another_process_makes_the_same_data_and_a_third_reads_them(data, tmp_path):
    def run():
        command = [sys.executable, "-W", "error", "-c", DIGEST, str(tmp_path)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert run() == [data.digest, True]
    assert run() == [data.digest, False]


def test_options_and_timesteps_are_different_data(data, cache):
    counts = digits_dvs(DigitsDvsOptions(binary=False, polarity="merged"), timesteps=2, cache=cache)
    assert counts.shape == (1, 16, 16)
    assert counts.train.frames.shape[1] == 2
    assert counts.train.frames.max() > 1
    assert counts.digest != data.digest
    assert counts.train.rows.equal(data.train.rows)


def test_the_recordings_keep_what_tells_digits_apart(data):
    """The same classifier loses at most one point of accuracy from the images to the frames."""
    images = load_digits().data / 16

    def score(train, test):
        return SVC().fit(train, data.train.labels).score(test, data.test.labels)

    def frames(split):
        return split.batch(torch.arange(len(split))).transpose(0, 1).flatten(1).numpy()

    on_images = score(images[data.train.rows], images[data.test.rows])
    assert score(frames(data.train), frames(data.test)) > on_images - 0.01
