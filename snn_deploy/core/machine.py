"""This machine, for tables of times."""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """Name of the processor, and its kind in brackets."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, 'processor')} ({platform.machine()})"
