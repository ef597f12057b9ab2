"""The search from coarse to fine, against all candidates made for the whole layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.graphs import chain, conv, lif

from snn_deploy.graph.lava.net import row_bounds
from snn_deploy.graph.passes.quantize import quantize as quantizing
from snn_deploy.graph.passes.quantize import scale_search
from snn_deploy.graph.passes.quantize.candidates import LayerTask, current_errors, integers
from snn_deploy.graph.passes.quantize.columns import apply_map, columns, currents
from snn_deploy.graph.passes.quantize.scale_search import best_candidate
from snn_deploy.graph.passes.to_chip.loihi import Lower
from snn_deploy.graph.passes.to_chip.windows import Matrix, Window


def _window(groups: int = 1) -> Window:
    weight = np.random.default_rng(0).normal(size=(6, 4 // groups, 3, 2))
    return Window(weight, np.zeros(6), (2, 1), (1, 1), (1, 2), groups, (7, 6))


@pytest.mark.parametrize("linear", [_window(), _window(2), Matrix(np.ones((3, 168)), np.zeros(3))])
def test_columns_are_what_a_neuron_sees(linear: Window | Matrix) -> None:
    frames = torch.randint(0, 5, (5, 4, 7, 6)).float()
    chosen = torch.tensor([0, 2, 3])
    every = columns(linear, frames, chosen, 1 << 30)
    expected = apply_map(linear, frames[chosen]).transpose(0, 1).flatten(1)
    torch.testing.assert_close(currents(linear.weight, every), expected)
    assert torch.equal(columns(linear, frames.bool(), chosen, 1 << 30), (every != 0).float())


def test_some_columns_are_drawn_without_repetition() -> None:
    linear, frames = _window(), torch.rand(5, 4, 7, 6)
    every = columns(linear, frames, torch.arange(5), 1 << 30)[0].T.tolist()
    some = columns(linear, frames, torch.arange(5), 30 * linear.weight[0].size)[0].T.tolist()
    places = [every.index(column) for column in some]
    assert len(places) == 30
    assert places == sorted(set(places))


def _task(seed: int, channels: int, monkeypatch: pytest.MonkeyPatch) -> LayerTask:
    """A layer with a few channels of much larger weights, as after folding a norm."""
    rng = np.random.default_rng(seed)
    node = conv(channels, 12, 8, seed=seed)
    node.weight = rng.standard_t(3, node.weight.shape) * rng.lognormal(0, 1, (channels, 1, 1, 1))
    net = chain(node, lif((channels, 8, 8)), source=(12, 8, 8), target=(channels, 8, 8))
    x = (torch.rand(12, 12, 12, 8, 8, generator=torch.Generator().manual_seed(seed)) < 0.3).float()
    found: list[LayerTask] = []

    def keep(task: LayerTask, *_: object, **__: object) -> None:
        found.append(task)

    monkeypatch.setattr(quantizing, "best_candidate", keep)
    with pytest.raises(Exception, match="No scale"):
        quantizing.Quantize(x, {})(Lower()(net))
    return found[0]


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("seed", range(4))
def test_few_channels_find_a_scale_as_good_as_all(
    seed: int, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = _task(seed, 200, monkeypatch)
    found = best_candidate(task, bits, nearest=True)
    assert found is not None
    assert row_bounds(found.weight, task.span).max() <= 1 << 17
    every = [integers(task, scale, name, bits) for name, scale in scale_search._scales(task, bits)]
    least = min(current_errors(task, c).mean() for c in every if task.legal(c.weight, bits))
    assert current_errors(task, found).mean() <= 1.1 * least


def test_compensation_is_tried_where_it_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    task = _task(1, 200, monkeypatch)
    shared = torch.rand(144, 1, 8, 8, generator=torch.Generator().manual_seed(5)) < 0.4
    task.seen.copy_(shared.expand_as(task.seen))
    entries = task.judged[0].numel()
    task.judged.copy_(columns(task.map, task.seen, torch.arange(48), entries))
    nearest, found = (best_candidate(task, 4, nearest=only) for only in (True, False))
    assert nearest is not None and found is not None
    assert "compensated" in found.chosen_by
    assert current_errors(task, found).mean() < 0.5 * current_errors(task, nearest).mean()
