from __future__ import annotations

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from snn_deploy.core.errors import DataError
from snn_deploy.distill.metrics import NOTHING, Mark, Metrics


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
