"""Recordings hold what the simulator did, within their bounds whatever the network."""

from __future__ import annotations

import base64

import nir
import numpy as np
import pytest
import torch
from support.graphs import conv, graph, lif
from support.reports import digits_plan

from snn_deploy.graph.plan import make_plan
from snn_deploy.report.view import pixels
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.recording import INPUT_BYTES, SPIKE_BYTES, record, scattered, shown_input


def frames(shape, steps=8, samples=3, most=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, most, (steps, samples, *shape), generator=generator).float()


def test_bits_are_the_spikes_of_the_simulator():
    plan = digits_plan()
    reference = Reference(plan)
    x = frames((2, 16, 16), samples=5)
    found = record(reference, x, [4, 1], torch.arange(5), "mean", {"features.0.neuron": [77]})
    trace = reference.run(x[:, [4, 1]], record=True)
    assert [sample.number for sample in found.samples] == [4, 1]
    assert [sample.label for sample in found.samples] == [4, 1]
    for layer in found.layers:
        expected = trace.records[layer.layer].flatten(2)[:, :, list(layer.rows)] != 0
        for place in range(2):
            assert np.array_equal(pixels.fired(layer, place, 8), expected[:, place].numpy())
    assert 77 in found.layers[0].rows
    scores = trace.output.double().cumsum(0).argmax(2)
    assert [list(sample.decided) for sample in found.samples] == scores.T.tolist()


def test_large_networks_and_long_runs_stay_small():
    nodes, edges, before = {}, [], "input"
    for number in range(12):
        nodes |= {f"w{number}": conv(2, 2, 64), f"n{number}": lif((2, 64, 64))}
        edges += [(before, f"w{number}"), (f"w{number}", f"n{number}")]
        before = f"n{number}"
    plan = make_plan(graph(nodes, [*edges, (before, "output")], (2, 64, 64), (2, 64, 64)))
    found = record(Reference(plan), frames((2, 64, 64), steps=260, samples=2), [0, 1], None, "mean", {})
    assert (found.steps, found.steps_in_all) == (256, 260)
    size = sum(len(base64.b64decode(bits)) for layer in found.layers for bits in layer.spikes)
    assert size <= SPIKE_BYTES
    assert all(0 < len(layer.rows) < layer.neurons == 8192 for layer in found.layers)
    assert sum(len(base64.b64decode(values)) for values in found.input.values) <= INPUT_BYTES


@pytest.mark.parametrize(("size", "count"), [(1, 1), (10, 10), (2048, 256), (4096, 61), (997, 5)])
def test_rows_are_different_and_meet_every_column_of_a_map(size, count):
    rows = scattered(size, count)
    assert len(set(rows)) == count
    assert all(0 <= row < size for row in rows)
    if count >= 256:
        assert {row % 8 for row in rows} == set(range(8))


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((2, 8, 8), "events"),
        ((1, 8, 8), "grey"),
        ((3, 8, 8), "colour"),
        ((5, 8, 8), "grey"),
        ((20,), "channels"),
    ],
)
def test_inputs_by_kind(shape, kind):
    x = frames(shape)
    shown = shown_input(x)
    assert shown.kind == kind
    values = pixels.frames(shown, 1)
    expected = x[:, 1].sum(1, keepdim=True) if shape == (5, 8, 8) else x[:, 1]
    restored = shown.low + values.reshape(8, -1) * (shown.high - shown.low) / 255
    assert np.allclose(
        restored, expected.flatten(1).numpy(), atol=0.5 * (shown.high - shown.low) / 255 + 1e-6
    )


def test_pictures_that_do_not_move_are_kept_once_and_events_keep_their_number():
    still = frames((1, 8, 8), steps=1).expand(6, -1, -1, -1, -1)
    shown = shown_input(still)
    assert shown.frames == 1
    assert "every step" in shown.note
    x = frames((2, 129, 70), steps=40, samples=4)
    shown = shown_input(x)
    assert shown.steps_per_frame > 1
    assert sum(len(base64.b64decode(values)) for values in shown.values) <= INPUT_BYTES
    total = pixels.frames(shown, 2).astype(float).sum() * shown.high / 255
    assert total == pytest.approx(float(x[:, 2].sum()), rel=0.01)


def test_neurons_that_fire_several_times_a_step_are_shown_once():
    plan = make_plan(
        graph(
            {"w": nir.Linear(np.array([[5.0]], np.float32)), "n": lif((1,))},
            [("input", "w"), ("w", "n"), ("n", "output")],
            (1,),
            (1,),
        )
    )
    found = record(Reference(plan), torch.ones(3, 1, 1), [0], None, "mean", {})
    assert pixels.fired(found.layers[0], 0, 3).tolist() == [[1], [1], [1]]
    assert found.samples[0].decided == (0, 0, 0)
