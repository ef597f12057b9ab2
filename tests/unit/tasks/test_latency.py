"""Times of steps under a clock that is known, and on a bundle's files."""

from __future__ import annotations

import shutil

import pytest
import torch
from support.reports import bundle_report
from support.stepping import stepping_source
from support.students import spikes_in

from snn_deploy.graph.semantics import Semantics
from snn_deploy.report import format as fmt
from snn_deploy.report.blocks import StepLatency
from snn_deploy.report.view.latency import latency_lines, latency_view
from snn_deploy.tasks import latency
from snn_deploy.tasks.latency import step_latencies
from snn_deploy.tasks.source import Source

STEPS = 6


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Source:
    return stepping_source(tmp_path_factory.mktemp("bundle"), Semantics(timesteps=STEPS))


class Clock:
    """Every reading is a millisecond after the one before."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1e-3
        return self.now


def test_every_backend_is_timed_on_whole_samples(bundle):
    found = step_latencies(bundle, spikes_in(), clock=Clock())
    assert [row.backend for row in found] == ["reference", "onnxruntime", "c"]
    for row in found[:2]:  # a millisecond lies between the readings before and after a step
        assert (row.p50, row.p99) == (pytest.approx(1e-3), pytest.approx(1e-3))
        assert row.steps % len(spikes_in()) == 0 and 0 < row.steps * 2e-3 < latency.WINDOW_SECONDS + 0.05
    if shutil.which("cc") is None:
        assert found[2].p50 is None and "no C compiler" in found[2].reason
    else:  # by its own clock
        assert 0 < found[2].p50 <= found[2].p99 < 0.1
        assert found[2].p50 != pytest.approx(1e-3, rel=1e-6)


def test_at_most_so_many_steps(bundle, monkeypatch):
    monkeypatch.setattr(latency, "MAX_STEPS", 2 * len(spikes_in()))
    (row, *_) = step_latencies(bundle, spikes_in(), clock=lambda: 0.0)
    assert row.steps == 2 * len(spikes_in())


def test_what_a_network_does_not_hold_is_said(bundle, monkeypatch):
    monkeypatch.setattr(latency, "WINDOW_SECONDS", 0.01)
    threads = torch.get_num_threads()
    bare = Source("net", "nir", bundle.path, bundle.plan, bundle.executable)
    reference, onnx, c = step_latencies(bare, spikes_in())
    assert reference.p50 is not None
    assert "holds no onnx file" in onnx.reason and "holds no c file" in c.reason
    assert torch.get_num_threads() == threads


def test_times_stand_beside_energies():
    n = fmt.NARROW
    rows = (
        StepLatency(backend="reference", what="ours", machine="a machine", p50=2e-4, p99=9e-4, steps=100),
        StepLatency(backend="c", what="C", machine="a machine", reason="There is no C compiler."),
    )
    data = bundle_report().model_copy(update={"latency": rows})
    prices = [
        p.model_copy(update={"timestep_seconds": None if p.profile == "loihi2" else 1e-3})
        for p in data.energy
    ]
    view = latency_view(data.model_copy(update={"energy": tuple(prices)}))
    ours, c, *chips = view.rows
    assert (ours.step, ours.inference) == (f"200{n}µs, p99 900{n}µs", f"1.60{n}ms")
    assert (c.step, c.inference, c.source) == (fmt.DASH, fmt.DASH, "not measured: There is no C compiler.")
    named = {row.name: row for row in chips}
    assert "horowitz-45nm-fp32" not in named
    assert (named["loihi1-davies"].step, named["loihi1-davies"].inference) == (f"1.00{n}ms", f"8.00{n}ms")
    assert named["loihi2"].step == fmt.DASH and "inferences per second: 408.9 1/s" in named["loihi2"].source
    assert latency_view(bundle_report().model_copy(update={"latency": ()})) is None
    assert (
        next(latency_lines(data)) == f"ours: 200{n}µs, p99 900{n}µs a step (batch 1, one thread, 100 steps)"
    )
