"""How early a network could decide, by hand."""

from __future__ import annotations

import torch

from snn_deploy.report import format as fmt
from snn_deploy.report.model import Activity, Header, LayerRow, ReportData
from snn_deploy.report.view.decisions import decisions_view
from snn_deploy.tasks.decisions import Deciding, decisions, steps_shown

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
    assert torch.equal(whole.decided().long(), expected)
    assert torch.equal(parts.decided(), whole.decided())
    last = Deciding("last")
    last.see(output)
    assert torch.equal(last.decided().long(), output.argmax(2))


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
