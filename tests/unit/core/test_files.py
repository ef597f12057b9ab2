from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from snn_deploy.core.files import (
    atomic_dir,
    atomic_path,
    clear_leftovers,
    sha256_file,
    write_json,
    write_text,
)
from snn_deploy.core.owners import this_process


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with pytest.raises(OSError, match="No space left"), atomic_path(file) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_nan_is_refused_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with pytest.raises(KeyboardInterrupt), atomic_dir(target) as folder:
        (folder / "model.nir").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    for content in ("one", "two"):
        with atomic_dir(target) as folder:
            (folder / content).write_text(content)
    assert [p.name for p in target.iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_failed_replacement_keeps_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with atomic_dir(target) as folder:
        (folder / "old").write_text("old")
    with pytest.raises(RuntimeError), atomic_dir(target) as folder:
        raise RuntimeError
    assert (target / "old").read_text() == "old"


def test_sha256_is_the_public_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_json_is_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [1, 2.5, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1, 2.5, None]}
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


def die_at(rename: int) -> None:
    """From now on this process is killed in place of its ``rename``-th renaming."""
    seen = 0
    replace = Path.replace

    def count(self: Path, target: Path) -> Path:
        nonlocal seen
        seen += 1
        if seen == rename:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)

    Path.replace = count  # type: ignore[method-assign,assignment]


def write_dir(target: Path, content: str) -> None:
    with atomic_dir(target) as folder:
        (folder / "file").write_text(content)


@pytest.mark.parametrize("rename", [1, 2])
def test_a_kill_at_either_rename_leaves_the_old_folder(tmp_path: Path, rename: int) -> None:
    target = tmp_path / "bundle"
    write_dir(target, "old")
    child = os.fork()
    if child == 0:
        die_at(rename)
        write_dir(target, "new")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert target.exists() is (rename == 1)
    clear_leftovers(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]
    assert (target / "file").read_text() == "old"


def test_a_kill_before_the_old_folder_is_deleted_keeps_the_new_one(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    write_dir(target, "old")
    child = os.fork()
    if child == 0:
        shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        write_dir(target, "new")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    clear_leftovers(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]
    assert (target / "file").read_text() == "new"


def test_what_others_are_writing_stays(tmp_path: Path) -> None:
    """The living, those of another machine, and files that only look like it."""
    own, foreign = this_process().tag, "7-1f-00000000.abcdefgh"
    with atomic_path(tmp_path / "a.txt") as living:
        assert living.name.startswith(f".a.txt.{own}.")
        for name in (f".b.{foreign}", f".c.{foreign}.old", ".bundle.lock", ".d.pt.abc123.pt", "e"):
            (tmp_path / name).write_text("")
        before = sorted(tmp_path.iterdir())
        clear_leftovers(tmp_path)
        assert sorted(tmp_path.iterdir()) == before


def test_what_a_check_refuses_stays(tmp_path: Path) -> None:
    """What is added to the old folder at the last moment is not lost with it."""
    target = tmp_path / "bundle"
    write_dir(target, "old")

    def refuse(old: Path) -> None:
        assert not target.exists()
        assert (old / "file").read_text() == "old"
        raise RuntimeError("not ours")

    with pytest.raises(RuntimeError, match="not ours"), atomic_dir(target, refuse) as folder:
        (folder / "file").write_text("new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]
    assert (target / "file").read_text() == "old"


def test_an_old_folder_that_cannot_be_put_back_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    write_dir(target, "old")
    replace = Path.replace

    def once(self: Path, to: Path) -> Path:
        monkeypatch.setattr(Path, "replace", broken)
        return replace(self, to)

    def broken(self: Path, to: Path) -> Path:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(to))

    monkeypatch.setattr(Path, "replace", once)
    with pytest.raises(OSError, match="Input/output error"):
        write_dir(target, "new")
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".old")
    assert (left / "file").read_text() == "old"


def test_leftovers_of_no_folder_are_none(tmp_path: Path) -> None:
    clear_leftovers(tmp_path / "nowhere")
