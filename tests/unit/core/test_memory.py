"""The budget of recordings follows the machine, the control group, the address space and the variable."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from snn_deploy.core import memory

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path, monkeypatch):
    def of(available: int, limit: str = "max", used: int = 0):
        (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable: {available >> 10} kB\n")
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text(f"{used}\n")
        monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
        monkeypatch.setattr(memory, "_GROUP", tmp_path)
        monkeypatch.delenv(memory.BUDGET_VARIABLE, raising=False)

    return of


@pytest.mark.parametrize(
    ("available", "limit", "used", "expected"),
    [
        (4 * GIB, "max", 0, GIB),
        (100 * GIB, "max", 0, 2 * GIB),
        (100 * GIB, str(6 * GIB), 2 * GIB, GIB),
        (1 << 20, "max", 0, 64 << 20),
    ],
)
def test_a_quarter_of_what_is_free(machine, available, limit, used, expected):
    machine(available, limit, used)
    assert memory.budget() == expected


def test_the_variable_decides(machine, monkeypatch):
    machine(4 * GIB)
    monkeypatch.setenv(memory.BUDGET_VARIABLE, "100")
    assert memory.budget() == 100 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="address spaces are limited so on Linux")
def test_a_limited_address_space_counts():
    code = "from snn_deploy.core import memory; print(memory.free())"
    limit = 3 * GIB
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert 0 < int(done.stdout) < limit


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
def test_freed_memory_goes_back_to_the_system():
    code = """
import platform
from pathlib import Path
from snn_deploy.core.memory import return_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

blocks = [bytearray(b"x" * 60_000) for _ in range(2000)]  # below the size that malloc maps on its own
last = bytearray(b"x" * 60_000)
del blocks[:]
before = resident()
return_freed_memory()
after = resident()
return_freed_memory()
print(platform.libc_ver()[0], before - after)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    library, *freed = done.stdout.split()
    if library != "glibc":
        pytest.skip("only glibc can be asked to")
    assert int(freed[0]) * 4096 > 50_000_000
