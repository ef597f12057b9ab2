from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from snn_deploy.core import locks
from snn_deploy.core.errors import ConfigError
from snn_deploy.core.locks import locked
from snn_deploy.core.owners import Owner, this_process

HOLD = """
import sys, time
from pathlib import Path
from snn_deploy.core.locks import locked
with locked(Path(sys.argv[1]), "the folder"):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(file: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(file)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def write(file: Path, owner: Owner) -> None:
    content = {
        "pid": owner.pid,
        "start": owner.start,
        "host": owner.host,
        "since": "2026-01-02",
    }
    file.write_text(json.dumps(content))


def test_it_names_its_owner_and_is_gone_afterwards(tmp_path: Path) -> None:
    file = tmp_path / "new" / ".lock"
    with locked(file, "x"):
        content = json.loads(file.read_text())
        assert (content["pid"], content["host"]) == (os.getpid(), socket.gethostname())
    assert list((tmp_path / "new").iterdir()) == []


def test_another_process_is_refused_by_name_and_taken_over_once_it_was_killed(tmp_path: Path) -> None:
    file, notes = tmp_path / ".lock", []
    other = hold(file)
    with (
        pytest.raises(ConfigError, match=rf"'x' is in use by process {other.pid} on .+ since 20"),
        locked(file, "x"),
    ):
        pass
    assert file.exists(), "who is refused leaves the lock alone"
    other.kill()
    other.communicate()
    assert file.exists()
    with locked(file, "x", notes.append):
        assert json.loads(file.read_text())["pid"] == os.getpid()
    assert notes == [f"took over 'x' from process {other.pid}, which has ended without finishing its work"]
    assert not file.exists()


def test_one_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    with locked(tmp_path / ".lock", "x"):
        with (
            pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"),
            locked(tmp_path / ".lock", "x"),
        ):
            pass
        assert (tmp_path / ".lock").exists()


def test_a_lock_of_another_machine_is_believed_and_explained(tmp_path: Path) -> None:
    """As on a network folder whose locks this system does not see."""
    file = tmp_path / ".lock"
    write(file, Owner(7, "abc", "far-away"))
    said = "locked by process 7 on far-away since 2026-01-02"
    with pytest.raises(ConfigError, match=said) as caught, locked(file, "x"):
        pass
    assert caught.value.hint == f"Look on far-away. If it has ended, delete '{file}'."
    assert file.exists()


def test_where_there_are_no_locks_the_named_process_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_flock", lambda handle: True)
    file = tmp_path / ".lock"
    write(file, this_process())
    with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"), locked(file, "x"):
        pass
    for ended in (Owner(os.getpid(), "1", socket.gethostname()), Owner(2**22, "1", socket.gethostname())):
        write(file, ended)
        with locked(file, "x"):
            pass
        assert not file.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x"}', "[" * 3000, "\udcff"])
def test_a_file_that_names_nobody_holds_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / ".lock").write_bytes(content.encode(errors="surrogateescape"))
    with locked(tmp_path / ".lock", "x"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match=r"\.lock"), locked(tmp_path / ".lock", "x"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"
