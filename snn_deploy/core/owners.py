"""Which process a file belongs to, and whether that process still runs.

A process number alone says little: numbers are given again, and mean nothing on another machine. So an owner
is a number, the moment that process started (in clock ticks since a boot that is named, proc(5)), and the
machine. Where the system does not say when a process started (there is no ``/proc``), the number decides.
"""

from __future__ import annotations

import functools
import hashlib
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_PROC = Path("/proc")
_STATE, _START = 0, 19
"""Fields of ``/proc/PID/stat`` behind the name of the program."""

State = Literal["running", "ended", "elsewhere"]


@dataclass(frozen=True, slots=True)
class Owner:
    """The process ``pid`` of ``host`` that started at ``start``, hexadecimal; empty where it is not known."""

    pid: int
    start: str
    host: str

    def state(self) -> State:
        """Whether the process runs; ``elsewhere`` when only another machine could tell."""
        if self.host != socket.gethostname():
            return "elsewhere"
        return "running" if _runs(self.pid, self.start) else "ended"

    @property
    def tag(self) -> str:
        """A name of this owner for file names: letters, digits and hyphens."""
        return f"{self.pid}-{self.start or 0}-{_place(self.host)}"


def this_process() -> Owner:
    """The owner of what this process makes."""
    return Owner(os.getpid(), _start(os.getpid()) or "", socket.gethostname())


def state_of(pid: int, start: str, place: str) -> State:
    """State of the owner that a :attr:`Owner.tag` names by its three parts."""
    if place != _place(socket.gethostname()):
        return "elsewhere"
    return "running" if _runs(pid, "" if start == "0" else start) else "ended"


def _place(host: str) -> str:
    """Short digest of the machine and of what its process numbers are valid in (a container has its own)."""
    try:
        space = str((_PROC / "self" / "ns" / "pid").readlink())
    except OSError:
        space = ""
    return hashlib.sha256(f"{host} {space}".encode()).hexdigest()[:8]


def _runs(pid: int, start: str) -> bool:
    if start:
        return _start(pid) == start
    if sys.platform == "win32":
        return True  # there, signal 0 would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _start(pid: int) -> str | None:
    """When a process started; None when it has ended, or the system does not say."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[_STATE] in "ZX" else f"{_boot()}{int(fields[_START]):x}"


@functools.cache
def _boot() -> str:
    try:
        return (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text()[:8]
    except OSError:
        return ""
