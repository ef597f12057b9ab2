"""One virtual environment per peer, made from ``tests/interop/PEER/requirements.txt``, once.

A stamp with the digest of the requirements marks a finished environment; an interrupted installation starts
again, a changed list is installed over.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, NoReturn

HERE = Path(__file__).resolve().parent
ROOT = Path(os.environ.get("INTEROP", HERE.parent.parent / ".interop"))


class PeerError(RuntimeError):
    """A peer cannot be installed or its script fails; the text says which and how."""


def peers() -> list[str]:
    """Names of all peers."""
    return sorted(path.parent.name for path in HERE.glob("*/requirements.txt"))


def environment(peer: str, say: Callable[[str], None] = print) -> Path:
    """The Python of ``peer``'s environment, made on first use.

    Raises:
        PeerError: pip could not install the requirements; its last lines are in the message.
    """
    folder, requirements = ROOT / peer, HERE / peer / "requirements.txt"
    python, stamp = folder / "bin" / "python", folder / ".installed"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return python
    say(f"{peer}: installing into {folder}")
    if not python.exists():
        venv.create(folder, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "-r"]
    done = subprocess.run([*command, str(requirements)], capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise PeerError(f"{peer}: pip could not install {requirements.name}:\n{last}")
    stamp.write_text(digest)
    return python


def run(peer: str, script: str, *arguments: str | Path, say: Callable[[str], None] = print) -> None:
    """Run ``tests/interop/PEER/SCRIPT`` in the peer's environment; its output is passed on.

    Raises:
        PeerError: the environment cannot be made, or the script fails.
    """
    _done(peer, script, arguments, say, sys.stdout)


def answer(peer: str, script: str, *arguments: str | Path, say: Callable[[str], None] = print) -> str:
    """What ``tests/interop/PEER/SCRIPT`` prints. Raises as :func:`run`."""
    return _done(peer, script, arguments, say, subprocess.PIPE).stdout


def _done(
    peer: str, script: str, arguments: Sequence[str | Path], say: Callable[[str], None], stdout: IO[str] | int
) -> subprocess.CompletedProcess[str]:
    command = [environment(peer, say), "-W", "ignore", HERE / peer / script, *arguments]
    plain = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(
        [*map(str, command)], env=plain, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise PeerError(f"{peer}: {script} failed:\n{last}")
    return done


def end(main: Callable[[], int]) -> NoReturn:
    """End the process with what ``main`` gives, or with 6 where a peer is not to be had."""
    try:
        sys.exit(main())
    except PeerError as error:
        print(error, file=sys.stderr)
        sys.exit(6)
