from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.distill.checkpoint import (
    load_checkpoint,
    putting_back,
    rng_state,
    save_checkpoint,
    set_rng_state,
)


def test_content_survives_and_leftovers_of_a_kill_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    assert load_checkpoint(path, "a") is None
    save_checkpoint(path, {"identity": "a", "weights": {"w": torch.arange(3.0)}, "loss": 0.1 + 0.2})
    leftover = tmp_path / ".checkpoint.pt.abc123.pt"
    leftover.write_bytes(b"half")
    content = load_checkpoint(path, "a")
    assert content is not None
    assert content["loss"] == 0.1 + 0.2
    assert torch.equal(content["weights"]["w"], torch.arange(3.0))
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"identity": "a"})
    with pytest.raises(ConfigError, match="other data or another recipe"):
        load_checkpoint(path, "b")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("evil"),))


def test_damaged_foreign_and_hostile_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"identity": "a", "weights": torch.arange(100.0)})
    whole = path.read_bytes()
    evil = tmp_path / "evil.pt"
    torch.save({"version": 1, "identity": "a", "x": Evil()}, evil)
    contents = [b"", whole[: len(whole) // 2], b"PK" + bytes(50), pickle.dumps(Evil()), evil.read_bytes()]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(DataError, match="is damaged"):
            load_checkpoint(path, "a")
    for foreign in ([1, 2], {"identity": "a"}, {"identity": "a", "version": 99}):
        torch.save(foreign, path)
        with pytest.raises(DataError, match="not a checkpoint of version"):
            load_checkpoint(path, "a")
    assert not (tmp_path / "evil").exists()


def test_any_byte_that_changed_is_found_before_anything_is_used(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"identity": "a", "weights": {"w": torch.arange(40.0)}, "loss": 0.5})
    whole = path.read_bytes()
    for position in range(len(whole)):
        content = bytearray(whole)
        content[position] ^= 1
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"checkpoint\.pt' is damaged"):
            load_checkpoint(path, "a")


def test_other_readers_of_torch_files_read_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint.pt", {"weights": torch.arange(4.0)})
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert torch.equal(content["weights"], torch.arange(4.0))


def test_a_state_that_does_not_fit_is_damage(tmp_path: Path) -> None:
    for error in (KeyError("progress"), TypeError("step"), RuntimeError("size mismatch")):
        with (
            pytest.raises(DataError, match=r"checkpoint\.pt' is damaged"),
            putting_back(tmp_path / "checkpoint.pt"),
        ):
            raise error


def test_random_numbers_go_on_where_they_were() -> None:
    cpu = torch.device("cpu")
    state = rng_state(cpu)
    expected = torch.rand(4)
    set_rng_state(state, cpu)
    assert torch.equal(torch.rand(4), expected)
