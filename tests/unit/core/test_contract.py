"""The input contract: its data suffice to make the frames, its words say the data, its bounds are reached."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits

from snn_deploy.core.contract import (
    Contract,
    EventFrames,
    ImageSteps,
    Values,
    channels_of,
    make_contract,
    seen_values,
    values_of,
    words,
)
from snn_deploy.data.events.pipeline import Binner, Cut
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.options.frames import FrameOptions
from snn_deploy.data.options.sets import DigitsDvsOptions
from snn_deploy.data.sets.images import NORMALIZATIONS, View
from snn_deploy.data.sets.synthetic import digits_dvs, recordings
from snn_deploy.export.input_contract import beyond, contract_of

SEEN = Values("real", -1.0, 2.5, stated=False)
OPTIONS = [
    {},
    {"binary": False, "polarity": "merged"},
    {"binning": "count", "downsample": 2},
    {"window": 20_000, "crop": 12, "denoise_us": 5_000},
    {"centre": True, "resize": (8, 6), "binary": False},
]


@pytest.mark.parametrize("given", OPTIONS, ids=str)
def test_the_data_suffice_to_make_the_frames(given, tmp_path):
    """Frames made of raw events by nothing but the contract are those that the network is shown."""
    dataset = digits_dvs(DigitsDvsOptions(**given), timesteps=4, cache=tmp_path)
    contract = make_contract(dataset.shape, 4, dataset.made, SEEN, trained=True)
    binner = Binner(Sensor(*contract.made.sensor), contract.timesteps, FrameOptions.like(contract.made))
    images, _ = load_digits(return_X_y=True)
    rows = dataset.test.rows[:5].tolist()
    for place, row in enumerate(rows):
        parts = list(binner.shown(list(recordings(images[row : row + 1].reshape(-1, 8, 8) / 16))))
        (counts,) = binner.count(parts, [Cut(0)], binner.measure(parts, [Cut(0)]))
        frames = torch.from_numpy(binner.entries(counts)[0]).float()
        assert torch.equal(frames, dataset.test.batch(torch.tensor([place]))[:, 0])
        assert not beyond(frames[:, None], contract)
    assert tuple(frames.shape[1:]) == contract.shape
    assert len(contract.channels) == contract.shape[0]


@pytest.mark.parametrize("name", [None, *NORMALIZATIONS])
def test_bounds_of_pixels_are_reached(name):
    """Black and white in every channel reach the bounds exactly, and nothing passes them."""
    chosen = NORMALIZATIONS[name] if name else None
    mean, std = chosen or ((), ())
    channels = len(mean) or 3
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, channels, 2, 2)
    shown = View(3, "direct", chosen).show(pixels, torch.arange(2))
    values = values_of(ImageSteps("direct", mean, std))
    assert (values.kind, values.stated) == ("real", True)
    assert float(shown.min()) == pytest.approx(values.low, abs=1e-6)
    assert float(shown.max()) == pytest.approx(values.high, abs=1e-6)


def test_what_is_only_seen():
    assert seen_values(0, 1, whole=True) == Values("binary", 0, 1, stated=False)
    assert seen_values(0, 0, whole=True).kind == "binary"
    assert seen_values(0, 3, whole=True).kind == "counts"
    assert seen_values(-1, 1, whole=True).kind == "real"
    assert seen_values(0, 1, whole=False).kind == "real"
    with pytest.raises(ValueError, match="finite"):
        seen_values(0, float("nan"), whole=False)
    contract = contract_of(torch.tensor([0.0, 2.0, 1.0]).view(3, 1, 1), None, trained=False)
    assert (contract.shape, contract.timesteps, contract.channels) == ((1,), 3, ())
    assert contract.words == (
        "3 frames a sample: [3, samples, 1], time first.",
        "Entries seen in the samples: whole numbers, 0 to 2.",
        "The samples of the proof were frames: how events or images become frames is not known.",
    )


EVENTS = EventFrames(
    (2, 128, 128), 5000, True, 96, 2, None, "on-off", "time", 10_000, binary=True
)  # fmt: skip


def test_words_of_events():
    said = make_contract((2, 48, 48), 16, EVENTS, SEEN, trained=True).words
    assert said == (
        "16 frames a sample: [16, samples, 2, 48, 48], time first (channels, rows, columns).",
        "Channels: 0: OFF events (polarity 0); 1: ON events (polarity 1).",
        "Entries are 0 or 1: 1 where there was an event.",
        "The sensor has 128 rows and 128 columns; row 0 is y = 0, column 0 is x = 0.",
        "Events without an earlier neighbour within 5,000 us are left out.",
        "Each sample is moved so that the median row and column of its events are in the middle.",
        "The central 96 x 96 pixels are kept.",
        "Blocks of 2 x 2 pixels are joined to one.",
        "A frame lasts 10,000 us, from a sample's stated start or first event; what comes after 16 frames is "
        "left out.",
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"binary": False}, "Entries count events, up to 255."),
        (
            {"window": None},
            "A sample, from its first to its last event, is cut into 16 frames of equal time.",
        ),
        (
            {"window": None, "binning": "count"},
            "The events of a sample are divided into 16 frames of equal number.",
        ),
        (
            {"window": 500, "binning": "count"},
            "A frame holds 500 events; what comes after 16 frames is left out.",
        ),
        ({"resize": (40, 48), "crop": None}, "Pixels are joined to 40 rows and 48 columns."),
    ],
)
def test_each_option_changes_the_words(change, sentence):
    before = set(make_contract((2, 48, 48), 16, EVENTS, SEEN, trained=True).words)
    after = set(make_contract((2, 48, 48), 16, replace(EVENTS, **change), SEEN, trained=True).words)
    assert sentence in after - before


def test_words_of_images():
    made = ImageSteps("direct", *NORMALIZATIONS["imagenet"], resize=256)
    said = make_contract((3, 224, 224), 4, made, SEEN, trained=False).words
    assert "Channels: 0: red; 1: green; 2: blue." in said
    assert "Entries: -2.118 to 2.64." in said
    assert "The samples of the proof were made as follows; what it was trained on is not known." in said
    assert said[-3:] == (
        "The shorter side of an image is brought to 256 pixels, the central 224 x 224 shown.",
        "Pixels from 0 to 255 are divided by 255, then brought to (x - mean) / std, channel by channel: mean "
        "0.485, 0.456, 0.406, std 0.229, 0.224, 0.225.",
        "Every frame is the image.",
    )
    rate = make_contract((1, 28, 28), 4, ImageSteps("rate"), SEEN, trained=True)
    assert rate.values == Values("binary", 0.0, 1.0, stated=True)
    assert "In each frame an entry is 1 with the probability of the intensity." in rate.words
    assert channels_of(ImageSteps("direct"), 5) == ()


def test_samples_that_are_not_what_the_network_is_made_for():
    contract = make_contract((2, 48, 48), 16, EVENTS, SEEN, trained=True)
    assert beyond(torch.tensor([0.0, 1.0]).view(1, 1, 2), contract) == ""
    assert "entries from 0 to 7 (counts) instead of 0 to 1 (binary)" in beyond(
        torch.arange(8.0).view(1, 1, 8), contract
    )
    assert "(real)" in beyond(torch.tensor([0.5]).view(1, 1, 1), contract)
    plain = Contract((1,), 1, Values("real", -2.0, 2.0, stated=True), (), None, True)
    assert beyond(torch.tensor([-2.0, 0.3, 2.0]).view(1, 1, 3), plain) == ""
    assert next(words(plain)) == "1 frames a sample: [1, samples, 1], time first."
