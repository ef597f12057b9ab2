"""Windows over made-up counters: a file tree like Linux' powercap, and a library like pynvml."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from snn_deploy.energy.measure import measure_energy


class Machine:
    """A processor that uses 5 W at rest and 25 W at work; one inference takes 10 ms of it."""

    def __init__(self, root, *, start=0, size=10**9, packages=1):
        self.now, self.size = 0.0, size
        self.packages = []
        for i in range(packages):
            package = root / f"intel-rapl:{i}"
            package.mkdir(parents=True)
            (package / "max_energy_range_uj").write_text(f"{size}\n")
            self.packages.append((package, [start]))
        (root / "intel-rapl:0:0").mkdir()  # a part of the first package, counted in it
        self._pass(0, 0)

    def _pass(self, seconds, watts):
        self.now += seconds
        for package, count in self.packages:
            count[0] = (count[0] + round(seconds * watts * 1e6)) % self.size
            (package / "energy_uj").write_text(f"{count[0]}\n")

    def work(self):
        self._pass(0.01, 25)
        return 1

    def sleep(self, seconds):
        self._pass(seconds, 5)


@pytest.fixture(autouse=True)
def no_card(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)


def measured(root, machine, window=1.0):
    return measure_energy(
        machine.work, powercap=root, window=window, clock=lambda: machine.now, sleep=machine.sleep
    )


@pytest.mark.parametrize("packages", [1, 2])
def test_energy_per_inference(tmp_path, packages):
    """25 W for 10 ms are 0.25 J, of which 5 W or 0.05 J flow without work; twice that on two packages."""
    rapl, card = measured(tmp_path, Machine(tmp_path, packages=packages))
    assert rapl.energy.mid == pytest.approx(0.25 * packages)
    assert rapl.idle.mid == pytest.approx(0.05 * packages)
    assert rapl.energy.low < rapl.energy.mid < rapl.energy.high
    assert rapl.energy.high / rapl.energy.mid == pytest.approx(1.002, abs=1e-4)
    assert rapl.seconds == pytest.approx(0.01)
    assert rapl.inferences in {100, 101}
    assert card.energy is None
    assert card.reason == "pynvml is not installed"


def test_counters_that_start_anew(tmp_path):
    """The range is 3 J: the counter wraps every 12 inferences."""
    rapl, _ = measured(tmp_path, Machine(tmp_path, start=2_900_000, size=3_000_000))
    assert rapl.energy.mid == pytest.approx(0.25)


def test_short_windows_are_refused(tmp_path):
    rapl, _ = measured(tmp_path, Machine(tmp_path), window=0.005)
    assert rapl.energy is None or rapl.seconds >= 0.01
    rapl, _ = measure_energy(
        lambda: 1, powercap=tmp_path, window=0.001, clock=iter([0.0, 0.0005, 0.002, 0.002, 0.004]).__next__,
        sleep=lambda seconds: None,
    )  # fmt: skip
    assert "too short" in rapl.reason


def test_a_counter_that_stands_still(tmp_path):
    machine = Machine(tmp_path)
    machine._pass = lambda seconds, watts: setattr(machine, "now", machine.now + seconds)
    assert measured(tmp_path, machine)[0].reason == "the counter stood still"


def test_without_counters_the_reason_is_the_answer(tmp_path):
    windows = measure_energy(lambda: pytest.fail("nothing to run"), powercap=tmp_path)
    assert [w.reason for w in windows] == [f"no intel-rapl counters in {tmp_path}", "pynvml is not installed"]
    (tmp_path / "intel-rapl:0").mkdir()
    assert "cannot be read: No such file" in measure_energy(lambda: 1, powercap=tmp_path)[0].reason
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("?")
    (tmp_path / "intel-rapl:0" / "max_energy_range_uj").write_text("1")
    assert "cannot be read: invalid literal" in measure_energy(lambda: 1, powercap=tmp_path)[0].reason


class NVMLError(Exception):
    pass


def card(machine, *, fails=False):
    def energy(_handle):
        if fails:
            raise NVMLError("Not Supported")
        return machine.now * 300e3  # 300 W in millijoules

    return SimpleNamespace(
        NVMLError=NVMLError, nvmlInit=lambda: None, nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index, nvmlDeviceGetTotalEnergyConsumption=energy,
    )  # fmt: skip


def test_graphics_cards(tmp_path, monkeypatch):
    machine = Machine(tmp_path)
    monkeypatch.setitem(sys.modules, "pynvml", card(machine))
    rapl, nvml = measured(tmp_path, machine, window=5.0)
    assert rapl.energy.mid == pytest.approx(0.25)
    assert nvml.meter == "NVML, device 0"
    assert nvml.energy.mid == pytest.approx(3.0)
    assert nvml.energy.high / nvml.energy.mid == pytest.approx(1.04, abs=1e-3)
    assert "too short" in measured(tmp_path, machine, window=0.5)[1].reason
    monkeypatch.setitem(sys.modules, "pynvml", card(machine, fails=True))
    assert measured(tmp_path, machine)[-1].reason == "Not Supported"
