"""Pictures of inputs and spikes as paths."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.reports import digits_plan, parity_rows
from support.shown import FAILED, seen_report

from snn_deploy.export.verify import Samples
from snn_deploy.report.assemble import parity
from snn_deploy.report.build import build_report, render_html
from snn_deploy.report.read import read_report
from snn_deploy.report.shown import Recording, ShownSample
from snn_deploy.report.view import pixels
from snn_deploy.report.view.difference import difference_view
from snn_deploy.report.view.overview import leading
from snn_deploy.report.view.recording import recording_view
from snn_deploy.tasks.recording import shown_input
from snn_deploy.tasks.report import _recording


def painted(path: str, height: int, width: int) -> np.ndarray:
    found = np.zeros((height, width), bool)
    for x, y, length in re.findall(r"M(\d+) (\d+)\.5h(\d+)", path):
        found[int(y), int(x) : int(x) + int(length)] = True
    return found


def test_runs_cover_exactly_what_is_set():
    mask = np.random.default_rng(0).random((7, 11)) < 0.4
    path = pixels.runs(mask)
    assert np.array_equal(painted(path, 7, 11), mask)
    assert pixels.runs(np.zeros((2, 2), bool)) == ""


def test_levels_and_colours_paint_every_pixel_once():
    values = np.random.default_rng(1).integers(0, 256, (5, 6), dtype=np.uint8)
    painted_levels = [painted(path, 5, 6) for path in pixels.levels(values, 8)]
    assert np.array_equal(sum(p.astype(int) for p in painted_levels), (values > 0).astype(int))
    assert painted_levels[7][values > 224].all()
    picture = np.random.default_rng(2).integers(0, 256, (3, 4, 4), dtype=np.uint8)
    colours = pixels.colours(picture)
    assert sum(painted(path, 4, 4).sum() for _, path in colours) == 16
    (r, g, b) = picture[:, 2, 1] >> 4
    assert any(painted(path, 4, 4)[2, 1] for colour, path in colours if colour == f"#{r:x}{g:x}{b:x}")


def test_a_cloud_has_a_dot_per_event_until_there_are_too_many():
    events = np.zeros((4, 2, 8, 8), np.uint8)
    events[1, 0, 2, 4] = events[3, 1, 7, 0] = 1
    off, on, (width, height) = pixels.cloud(events, 100)
    # w = 4; off: u = 1 * 4 + 4 / 2, v = 2 + (8 - 4) / 3; on: u = 12, v = 7 + 8 / 3
    assert off == "M6.0 3.3h0"
    assert on == "M12.0 9.7h0"
    assert (width, height) == (24, pytest.approx(8 + 8 / 3 + 1))
    off, on, _ = pixels.cloud(np.ones_like(events), 100)
    assert 80 <= (off + on).count("M") <= 100


def test_static_rasters_are_the_first_sample():
    data = seen_report()
    view = recording_view(data)
    for raster, layer in zip(view.rasters, data.recording.layers, strict=True):
        drawn = painted(raster.path, len(layer.rows), 8)
        fired = pixels.fired(layer, 0, 8).T > 0
        assert drawn.sum() <= fired.sum()
        assert not (drawn & ~fired).any()
        assert drawn.sum() == fired.sum() or "without script" in raster.note


def test_samples_say_what_they_are_and_what_was_decided():
    view = recording_view(seen_report())
    assert [sample.title for sample in view.samples] == ["sample 7", "sample 0", "sample 3", "sample 6"]
    assert view.samples[0].verdict.startswith("is 7, decided ")


def test_the_first_difference_of_a_failed_proof():
    found = difference_view(seen_report())
    assert (found.layer, found.step, found.sample, found.neuron, found.place) == (FAILED, 3, 7, 1404, 0)
    assert difference_view(seen_report(parity=seen_report().parity[:1])) is None
    unseen = difference_view(seen_report(recording=None))
    assert (unseen.layer, unseen.place) == (FAILED, None)


def test_the_first_energy_is_that_of_the_target_then_of_a_chip_with_a_known_one():
    data = seen_report()
    assert leading(data).profile == "loihi1-davies"
    target = data.header.model_copy(update={"target": "truenorth-0.8v"})
    assert leading(data.model_copy(update={"header": target})).profile == "truenorth-0.8v"
    unknown = data.model_copy(update={"header": data.header.model_copy(update={"target": "loihi2"})})
    assert leading(unknown).profile == "loihi1-davies"
    assert "loihi2: no public number" in render_html(unknown)
    arithmetic = tuple(price for price in data.energy if price.kind != "chip")
    assert leading(data.model_copy(update={"energy": arithmetic})).profile == "horowitz-45nm-fp32"
    assert leading(data.model_copy(update={"energy": ()})) is None


def test_the_page_is_small_and_its_data_are_read_back(tmp_path):
    data = seen_report()
    written = build_report(data, tmp_path)
    assert written["html"].stat().st_size < 2_000_000
    assert read_report(written["json"]) == data


def test_what_a_failed_proof_shows_is_recorded_before_what_others_show():
    """An approximate check differs in sample 2; the page opens at the failed one's sample 9."""
    rows = parity_rows()
    rows[2]["layers"][0] |= {"first": [0, 2, 5]}
    rows[1] |= {"verdict": "failed"}
    rows[1]["layers"][1] |= {"differing": 9, "first": [3, 9, 2000]}
    plan = digits_plan()
    x = (torch.rand(8, 12, 2, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    source = SimpleNamespace(plan=plan)
    proofs = parity([rows[2], rows[1]])
    found = _recording(source, Samples(x), torch.zeros(8, 12), proofs)
    assert found.samples[0].number == 9
    view = difference_view(seen_report(parity=proofs, recording=found))
    assert (view.layer, view.step, view.sample, view.neuron, view.place) == (FAILED, 4, 9, 2000, 0)


def test_the_last_of_merged_frames_ends_with_the_steps(monkeypatch):
    monkeypatch.setattr("snn_deploy.tasks.recording.INPUT_BYTES", 4000)
    x = (torch.rand(10, 2, 2, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    shown = Recording(
        steps=10,
        steps_in_all=10,
        samples=tuple(ShownSample(number=n, label=None, decided=()) for n in range(2)),
        input=shown_input(x),
        layers=(),
    )
    view = recording_view(seen_report(recording=shown, decisions=None))
    assert [picture.text for picture in view.samples[0].strip] == [
        "steps 1 to 4",
        "steps 5 to 8",
        "steps 9 to 10",
    ]
