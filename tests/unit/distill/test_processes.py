"""Training in several real processes, joined by gloo, against training in one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.processes import TRAIN, environment, finish, start

SYNC = (
    "train.sync_batch_norm=true",
    "teacher.train.sync_batch_norm=true",
    "student.readout=linear",
    "student.neuron.v_threshold=0.05",
)
TAPS = "student_tap: block1.neuron, teacher_tap: block1.relu"
METHODS = {
    "none": "{name: none}",
    "tser": "{name: tser}",
    "mixed": "{name: tser}",
    "under rules": "{name: tser}",
    "s2w": "{name: s2w, direction: both}",
    "bkd": f"{{name: bkd, clip: true, {TAPS}}}",
    "samd_nld": f"{{name: samd_nld, {TAPS}}}",
    "samd_nld-code": f"{{name: samd_nld, variant: official-code, {TAPS}}}",
}

MORE = {
    "bkd": ("train.recompute=true",),
    "mixed": ("train.mix={mixup: 1.0, cutmix: 1.0, probability: 0.7}",),
    "under rules": ("target={bits: 4, epochs: 2}",),
}

Job = tuple[str, int, Sequence[str]]


def run(folder: Path, count: int, *jobs: Job) -> None:
    for code, _, text in finish(start(["-c", TRAIN, json.dumps(jobs)], count, folder)):
        assert code == 0, text


def records(run_folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]


def same(found: Path, expected: Path) -> None:
    """Equal losses to 1e-5, term by term, and equal decisions."""
    for part in ("", "teacher", "target"):
        if not (expected / part / "metrics.jsonl").exists():
            continue
        ours, theirs = records(found / part), records(expected / part)
        assert [r["step"] for r in ours] == [r["step"] for r in theirs]
        for a, b in zip(ours, theirs, strict=True):
            assert a["loss"] == pytest.approx(b["loss"], abs=1e-5), (found.name, part, a["step"])
            assert a.get("terms", {}) == pytest.approx(b.get("terms", {}), abs=1e-5)
            for counted in ("train_accuracy", "validation_accuracy", "best"):
                assert a.get(counted) == b.get(counted)


LONG = ("long", 41, (*SYNC, "teacher.train.epochs=1", "train.epochs=12", "train.checkpoint_seconds=0.05"))
LOCAL = ("local", 40, ("teacher=null", "method.name=none", "train.epochs=1"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each method in one process and in two. 41 samples in batches of 16 leave a last one of 9, which does
    not divide by 2; 33 leave a last one of 1, which cannot be divided."""
    folder = tmp_path_factory.mktemp("runs")
    jobs = [
        (name, 33 if number % 2 else 41, (*SYNC, f"method={method}", *MORE.get(name, ())))
        for number, (name, method) in enumerate(METHODS.items())
    ]
    run(folder / "one", 1, *jobs, LOCAL, LONG)
    run(folder / "two", 2, *jobs, LOCAL)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_compute_what_one_does(runs: Path, method: str) -> None:
    one, two = runs / "one" / "0" / method, runs / "two" / "0" / method
    same(two, one)
    results = [json.loads((run_folder / "result.json").read_text()) for run_folder in (one, two)]
    for role in ("student", "teacher"):
        assert results[0][role]["test_correct"] == results[1][role]["test_correct"]
    assert results[1]["student"]["firing_rates"] == pytest.approx(results[0]["student"]["firing_rates"])
    assert json.loads((two / "environment.json").read_text())["processes"] == 2


def test_only_the_first_process_writes(runs: Path) -> None:
    assert not list((runs / "two" / "1").iterdir())
    assert not (runs / "two" / "cache-1").exists()
    assert (runs / "two" / "cache-0" / "teachers").exists()


def test_without_synchronised_batch_norm_the_statistics_differ(runs: Path) -> None:
    """What the option is for: otherwise every process normalises by its own samples."""
    losses = [records(runs / count / "0" / "local")[0]["loss"] for count in ("one", "two")]
    assert abs(losses[0] - losses[1]) > 1e-4


def killed(folder: Path, lost: int, after: int) -> str:
    """Train in two processes and kill one when there are ``after`` records; what the other one says."""
    processes = start(["-c", TRAIN, json.dumps([LONG])], 2, folder)
    metrics = folder / "0" / "long" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if metrics.exists() and metrics.read_bytes().count(b"\n") > after:
            break
        time.sleep(0.005)
    processes[lost].kill()
    moment = time.monotonic()
    ended = finish(processes, seconds=30)
    assert time.monotonic() - moment < 10
    assert ended[lost][0] == -signal.SIGKILL
    return ended[1 - lost][2]


def test_killed_processes_end_the_run_which_goes_on_with_any_number(runs: Path, tmp_path: Path) -> None:
    status = tmp_path / "0" / "long" / "STATUS"
    said = killed(tmp_path, lost=1, after=4)
    assert "Process 0 of 2: another process of this run has ended" in said
    assert "with --resume" in said
    assert status.read_text() == "interrupted\n"
    said = killed(tmp_path, lost=0, after=20)
    assert "Process 1 of 2: another process of this run has ended" in said
    assert status.read_text() == "training\n"
    run(tmp_path, 1, LONG)
    same(tmp_path / "0" / "long", runs / "one" / "0" / "long")


@pytest.mark.slow
def test_ctrl_c_under_torchrun_saves_and_goes_on(tmp_path: Path) -> None:
    """The terminal sends SIGINT to torchrun and to both processes, and torchrun sends it again."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "snn_deploy"]
    command += ["distill", "digits-baseline", "--run-dir", "run", "--device", "cpu"]
    command += ["-o", "train.epochs=60", "-o", "student.blocks=[{channels: 2, stride: 4}]"]
    process = subprocess.Popen(
        command,
        env=environment(tmp_path / "cache"),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    log = tmp_path / "run" / "log.txt"
    while time.monotonic() < deadline and not (log.exists() and "epoch 1/" in log.read_text()):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert "the state is saved" in text
    assert text.count("hint: Continue with --resume.") == 1
    assert (tmp_path / "run" / "STATUS").read_text() == "interrupted\n"
    command += ["--resume"]
    again = subprocess.Popen(
        command, env=environment(tmp_path / "cache"), cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    _, text = again.communicate(timeout=240)
    assert again.returncode == 0, text
    assert "continued after step" in text
    assert (tmp_path / "run" / "STATUS").read_text() == "done\n"
