"""Energy that this machine really used: windows over the counters of its processor and graphics card.

A window runs the same work again and again for at least :data:`WINDOW_SECONDS`, long against the period in
which a counter is updated, then stands still for as long: with E the counter's rise over n inferences and
E_idle that over the same time without work,

    energy = E / n          idle = E_idle (t / t_idle) / n

Both include everything on the meter, other programs too; the difference is what the work added. The interval
is one update of the counter at either end of the window. Counters: RAPL through the powercap files of Linux,
NVML's total energy where ``pynvml`` is installed. Where there is none, the reason is the answer.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from snn_deploy.hardware.interval import Interval

WINDOW_SECONDS = 1.0
POWERCAP = Path("/sys/class/powercap")
RAPL_PERIOD = 1e-3
"""Seconds between two updates of RAPL (Intel SDM vol. 3B, 15.10.2: about 1 ms)."""
NVML_PERIOD = 0.1
"""Seconds between two updates of NVML's counter: 20 to 100 ms by device; the longest (our choice)."""


class Meter(Protocol):
    """A counter of joules that only rises; ``period`` is the time between two of its updates."""

    name: str
    period: float

    def joules(self) -> float:
        """What the counter shows now."""


@dataclass(frozen=True, slots=True)
class Window:
    """What one meter showed, in joules and seconds per inference; ``reason`` where it showed nothing."""

    meter: str
    energy: Interval | None = None
    idle: Interval | None = None
    seconds: float | None = None
    inferences: int = 0
    reason: str = ""


class Rapl:
    """The packages of a processor. Each file counts microjoules and starts anew at its range.

    Raises:
        OSError: a file cannot be read.
    """

    name = "RAPL, processor packages"
    period = RAPL_PERIOD

    def __init__(self, packages: list[Path]) -> None:
        self._packages = packages
        self._range = {package: _number(package / "max_energy_range_uj") for package in packages}
        self._last = {package: _number(package / "energy_uj") for package in packages}
        self._total = dict.fromkeys(packages, 0)

    def joules(self) -> float:
        """Microjoules of all packages, unrolled; to be read at least once per range."""
        for package in self._packages:
            now = _number(package / "energy_uj")
            rise = now - self._last[package]
            self._total[package] += rise if rise >= 0 else rise + self._range[package]
            self._last[package] = now
        return sum(self._total.values()) * 1e-6


class Nvml:
    """One graphics card, through NVML."""

    period = NVML_PERIOD

    def __init__(self, library: Any, index: int) -> None:
        self._library = library
        self._handle = library.nvmlDeviceGetHandleByIndex(index)
        self.name = f"NVML, device {index}"

    def joules(self) -> float:
        """Millijoules since the driver was loaded."""
        return float(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle)) * 1e-3


def measure_energy(
    work: Callable[[], int],
    *,
    powercap: Path = POWERCAP,
    window: float = WINDOW_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Window, ...]:
    """Run ``work``, which returns its number of inferences, in one window, under every meter there is."""
    meters: list[Meter] = []
    missing: list[Window] = []
    for found in (*_rapl(powercap), *_nvml()):
        if isinstance(found, Window):
            missing.append(found)
        else:
            meters.append(found)
    if not meters:
        return tuple(missing)
    work()
    shown = [meter.joules() for meter in meters]
    start, inferences = clock(), 0
    while (seconds := clock() - start) < window:
        inferences += work()
        [meter.joules() for meter in meters]  # seen often enough not to miss a counter's new start
    used = [meter.joules() - before for meter, before in zip(meters, shown, strict=True)]
    shown, start = [meter.joules() for meter in meters], clock()
    sleep(seconds)
    rest = clock() - start
    idle = [(meter.joules() - before) * seconds / rest for meter, before in zip(meters, shown, strict=True)]
    return (
        *(_window(m, u, i, seconds, inferences) for m, u, i in zip(meters, used, idle, strict=True)),
        *missing,
    )


def _window(meter: Meter, used: float, idle: float, seconds: float, inferences: int) -> Window:
    if seconds < 10 * meter.period:
        return Window(meter.name, reason=f"the window of {seconds:.3g} s is too short for this counter")
    if used <= 0:
        return Window(meter.name, reason="the counter stood still")
    doubt = 2 * meter.period / seconds
    energy, rest = (
        Interval(
            joules * max(1 - doubt, 0) / inferences, joules / inferences, joules * (1 + doubt) / inferences
        )
        for joules in (used, max(idle, 0.0))
    )
    return Window(meter.name, energy, rest, seconds / inferences, inferences)


def _rapl(powercap: Path) -> Iterator[Meter | Window]:
    packages = sorted(path for path in powercap.glob("intel-rapl:*") if path.name.count(":") == 1)
    if not packages:
        yield Window(Rapl.name, reason=f"no intel-rapl counters in {powercap}")
        return
    try:
        yield Rapl(packages)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        yield Window(Rapl.name, reason=f"{packages[0].name} cannot be read: {reason}")


def _nvml() -> Iterator[Meter | Window]:
    name = "NVML, graphics cards"
    try:
        library = importlib.import_module("pynvml")
    except ImportError:
        yield Window(name, reason="pynvml is not installed")
        return
    try:
        library.nvmlInit()
        for index in range(library.nvmlDeviceGetCount()):
            meter = Nvml(library, index)
            meter.joules()
            yield meter
    except library.NVMLError as error:
        yield Window(name, reason=str(error))


def _number(path: Path) -> int:
    return int(path.read_text())
