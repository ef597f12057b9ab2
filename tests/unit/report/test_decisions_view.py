"""How early a network could decide, by hand."""

from __future__ import annotations

import numpy as np
import torch

from snn_deploy.report import format as fmt
from snn_deploy.report.model import Activity, Header, LayerRow, ReportData
from snn_deploy.report.view.decisions import decisions_view
from snn_deploy.report.view.early_exit import exit_view
from snn_deploy.tasks.decisions import Decided, Deciding, decisions, early_exit, steps_shown

N = fmt.NARROW
DECIDED = torch.tensor([[0, 0, 1, 2], [0, 1, 1, 2], [0, 1, 1, 1], [0, 1, 1, 1]])
LABELS = torch.tensor([0, 1, 1, 2])


def report(block, by_step=()):
    activity = None
    if by_step:
        activity = Activity(
            timesteps=len(by_step), samples=4, layers=(LayerRow(layer="n"),), sops_by_step=(tuple(by_step),),
            connections=10, sample_quantiles=(1, 1, 1),
        )  # fmt: skip
    return ReportData(header=Header(title="net", kind="nir"), decisions=block, activity=activity)


def test_decisions_by_hand():
    block = decisions(DECIDED, LABELS, 3)
    assert block.steps == (1, 2, 3, 4)
    assert block.accuracy == (0.75, 1.0, 0.75, 0.75)
    assert block.settled == (0.5, 0.75, 1.0, 1.0)
    assert block.per_class == ((1, 1), (2, 2), (0, 1))
    assert block.confused == ((2, 1, 1),)
    assert block.confused_in_all == 1


def test_the_running_mean_decides_whatever_the_blocks():
    output = torch.rand(12, 5, 3, generator=torch.Generator().manual_seed(0))
    whole, parts = Deciding("mean"), Deciding("mean")
    whole.see(output)
    for begin, end in ((0, 5), (5, 6), (6, 12)):
        parts.see(output[begin:end])
    expected = torch.stack([output[: t + 1].double().mean(0).argmax(1) for t in range(12)])
    assert torch.equal(whole.decided().classes.long(), expected)
    assert torch.equal(parts.decided().classes, whole.decided().classes)
    last = Deciding("last")
    last.see(output)
    assert torch.equal(last.decided().classes.long(), output.argmax(2))


def test_stopping_by_confidence_by_hand():
    """Two samples of three steps; the first is sure from step 1, the second from step 2 on, and both are
    right then; each step costs 10 operations."""
    decided = Decided(
        torch.tensor([[0, 2], [0, 1], [0, 1]]), np.array([[0.9, 0.4], [0.95, 0.8], [0.99, 0.9]])
    )
    sops = np.full((3, 2), 10)
    block = early_exit(decided, torch.tensor([0, 1]), sops, 8.0, 0.8)
    assert (block.scale, block.at, block.points[-1].at) == (8.0, 0.8, 1.0)
    points = {point.at: point for point in block.points}
    assert points[0.8].model_dump() == {
        "at": 0.8,
        "steps": 1.5,
        "sops": 15.0,
        "accuracy": 1.0,
        "settled": 1.0,
    }
    assert points[0.4].model_dump() == {
        "at": 0.4,
        "steps": 1.0,
        "sops": 10.0,
        "accuracy": 0.5,
        "settled": 0.5,
    }
    assert points[1.0].model_dump() == {
        "at": 1.0,
        "steps": 3.0,
        "sops": 30.0,
        "accuracy": 1.0,
        "settled": 1.0,
    }
    view = exit_view(report(decisions(decided.classes, None, 3)).model_copy(update={"early_exit": block}))
    assert view.verdict == (
        f"At its own threshold, a confidence of 0.8, it runs 1.5 of 3 steps on average and spends 50{N}% of "
        f"the synaptic operations; 100.0{N}% are right, 100.0{N}% with all steps."
    )
    assert [row.at for row in view.rows if row.own] == ["0.8"]
    assert view.plot.curves[0].points.startswith("33.333,") and view.plot.curves[0].points.endswith(
        "100.000,0.000"
    )


def test_confidences_are_those_of_the_running_sum():
    output = torch.rand(6, 5, 3, generator=torch.Generator().manual_seed(0))
    deciding = Deciding("mean", 4.0)
    for begin, end in ((0, 2), (2, 6)):
        deciding.see(output[begin:end])
    expected = torch.stack([(4 * output[: t + 1].double().sum(0)).softmax(1).amax(1) for t in range(6)])
    assert np.allclose(deciding.decided().confidences, expected.numpy(), rtol=1e-12)
    last = Deciding("last", 4.0)
    last.see(output)
    assert np.allclose(last.decided().confidences, (4 * output.double()).softmax(2).amax(2).numpy())


def test_nothing_stops_early_without_a_choice():
    one = Decided(torch.zeros(3, 2, dtype=torch.int32), np.ones((3, 2)))
    assert early_exit(one, None, np.ones((3, 2), np.int64), 1.0, None) is None
    assert (
        early_exit(Decided(one.classes[:1], np.ones((1, 2)) / 2), None, np.ones((1, 2), np.int64), 1.0, None)
        is None
    )
    assert exit_view(report(None)) is None


def test_many_steps_are_thinned_and_end_with_the_last():
    assert steps_shown(3) == (1, 2, 3)
    shown = steps_shown(1000, 128)
    assert (len(shown), shown[-1]) == (128, 1000)
    assert sorted(set(shown)) == list(shown)


def test_the_sentence_names_the_step_and_what_it_saves():
    view = decisions_view(report(decisions(DECIDED, LABELS, 3), (10, 20, 30, 40)))
    assert view.verdict == (
        f"After 3 of 4 steps accuracy is 75.0{N}%, at the end 75.0{N}%; by then 60{N}% of the synaptic "
        "operations are done."
    )
    assert view.sops.curves[0].last == "100"
    late = torch.tensor([[0], [1]])
    assert "all its steps" in decisions_view(report(decisions(late, torch.tensor([1]), 2))).verdict


def test_few_classes_are_a_matrix_and_many_a_list():
    view = decisions_view(report(decisions(DECIDED, LABELS, 3)))
    assert view.columns == ("0", "1", "2")
    assert [[text for text, _, _ in row.cells] for row in view.rows] == [
        ["1", "", ""],
        ["", "2", ""],
        ["", "1", ""],
    ]
    assert [row.accuracy for row in view.rows] == [f"100.0{N}%", f"100.0{N}%", f"0.0{N}%"]
    labels = torch.arange(39)
    decided = labels.clone()[None]
    decided[0, 7] = 3
    view = decisions_view(report(decisions(decided, labels, 40)))
    assert (view.columns, view.rows) == ((), ())
    assert view.worst[0].name == "7"
    assert "39" not in [row.name for row in view.worst]
    assert view.pairs == ("7 taken for 3: 1 of 1",)


def test_without_labels_and_without_classes():
    view = decisions_view(report(decisions(DECIDED, None, 3)))
    assert view.rows == ()
    assert "of the decisions are the last ones" in view.verdict
    assert decisions(DECIDED, None, 1) is None
