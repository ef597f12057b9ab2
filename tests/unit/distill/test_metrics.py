from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from snn_deploy.core.errors import DataError
from snn_deploy.distill.metrics import NOTHING, Mark, Metrics
from snn_deploy.distill.pictures import picture


def step(number: int, loss: float) -> dict[str, object]:
    return {"step": number, "epoch": 1, "lr": 0.1, "loss": loss, "terms": {"kd.kl": loss / 2}}


def test_what_follows_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, keep=NOTHING, next_step=1)
    metrics.step(step(1, 0.1 + 0.2))
    kept = metrics.flush()
    metrics.step(step(2, 2.0))
    metrics.close()
    again = Metrics(tmp_path, keep=kept, next_step=2)
    again.step(step(2, 3.0))
    again.epoch(
        {"epoch": 1, "step": 2, "loss": 1.5, "train_accuracy": 0.5, "validation_accuracy": 1.0, "best": True}
    )
    again.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["step", "step", "epoch"]
    assert [line["loss"] for line in lines] == [0.1 + 0.2, 3.0, 1.5]
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(e.step, e.value) for e in board.Scalars("train/kd.kl")] == [
        (1, pytest.approx(0.15)),
        (2, pytest.approx(1.5)),
    ]
    assert [e.value for e in board.Scalars("epoch/validation_accuracy")] == [1.0]


def test_the_board_shows_rates_by_layer_and_the_inputs(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, keep=NOTHING, next_step=1)
    metrics.inputs(torch.ones(3, 2, 2, 5, 4))
    record = {
        "epoch": 1, "step": 7, "loss": 1.5, "train_accuracy": 0.5, "validation_accuracy": 1.0, "best": True,
        "sops_per_sample": 40.0,
    }  # fmt: skip
    metrics.epoch(record, {"conv.neuron": 0.25})
    metrics.close()
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(e.step, e.value) for e in board.Scalars("firing_rate/conv.neuron")] == [(7, 0.25)]
    assert [e.value for e in board.Scalars("epoch/sops_per_sample")] == [40.0]
    (image,) = board.Images("inputs")
    assert (image.width, image.height) == (8, 5)
    assert "conv.neuron" not in (tmp_path / "metrics.jsonl").read_text()


def test_pictures_by_hand() -> None:
    """Two steps of one sample: an OFF event twice at (0, 1), an ON event once at (1, 0)."""
    events = torch.zeros(2, 1, 2, 2, 2)
    events[:, 0, 0, 0, 1] = 1
    events[1, 0, 1, 1, 0] = 1
    shown = picture(events)
    assert shown.shape == (3, 2, 2)
    assert shown[0].tolist() == [[0, 1], [0, 0]]
    assert shown[2].tolist() == [[0, 0], [0.5, 0]]
    grey = picture(torch.tensor([-1.0, 3.0]).view(1, 1, 1, 1, 2))
    assert grey.tolist() == [[[0, 1]]] * 3
    vectors = picture(torch.tensor([[[1.0, 2.0]], [[4.0, 0.0]]]))
    assert vectors[0].tolist() == [[0.25, 1.0], [0.5, 0.0]]
    assert picture(torch.zeros(2, 3, 7, 4, 5)).shape == (3, 4, 15)


def test_a_file_shorter_than_the_checkpoint_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="has 3 bytes; the checkpoint was written when it had 10"):
        Metrics(tmp_path, keep=Mark(10, "0" * 64), next_step=1)


def test_a_byte_that_changed_before_the_checkpoint_is_found(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, keep=NOTHING, next_step=1)
    metrics.step(step(1, 0.5))
    kept = metrics.flush()
    metrics.close()
    file = tmp_path / "metrics.jsonl"
    before = file.read_bytes()
    file.write_bytes(before.replace(b"0.5", b"0.6"))
    with pytest.raises(DataError, match=r"metrics\.jsonl' is damaged: its first \d+ bytes are not those"):
        Metrics(tmp_path, keep=kept, next_step=2)
    assert file.read_bytes() == before.replace(b"0.5", b"0.6")
