"""Cameras, by stand-ins for their makers' packages."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from snn_deploy.core.errors import ConfigError, DataError, MissingOptionalError
from snn_deploy.data.formats.cameras import open_camera

EVENTS = [(5, 1, 2, 1), (9, 3, 0, 0), (12, 0, 1, 1)]
"""t, x, y, p."""


def dv(serials: tuple[str, ...] = ("A1",), resolution: tuple[int, int] | None = (6, 4)) -> SimpleNamespace:
    """dv-processing 2, with cameras of these serial numbers."""

    class DvCamera:
        def __init__(self) -> None:
            self._batches = [EVENTS[:2], None, EVENTS[2:]]

        def getEventResolution(self):
            return resolution

        def isRunning(self):
            return bool(self._batches)

        def getNextEventBatch(self):
            batch = self._batches.pop(0)
            if batch is None:
                return None
            kind = [("timestamp", "<i8"), ("x", "<i2"), ("y", "<i2"), ("polarity", "i1")]
            return SimpleNamespace(numpy=lambda: np.array(batch, kind))

    def opened(serial: str | None = None) -> DvCamera:
        if not serials:
            raise IndexError("no device")
        if serial is not None and serial not in serials:
            raise RuntimeError(f"no device {serial}")
        return DvCamera()

    return SimpleNamespace(io=SimpleNamespace(camera=SimpleNamespace(open=opened)))


def metavision() -> SimpleNamespace:
    """The Metavision SDK, with one camera."""

    class EventsIterator:
        def __init__(self, input_path: str, delta_t: int) -> None:
            if input_path not in {"", "B2"}:
                raise OSError("not a file, and not a camera")
            assert delta_t > 0

        def get_size(self):
            return 4, 6

        def __iter__(self):
            kind = [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")]
            rows = [(x, y, p, t) for t, x, y, p in EVENTS]
            yield from (np.array(part, kind) for part in (rows[:1], [], rows[1:]))

    return SimpleNamespace(EventsIterator=EventsIterator)


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dv_processing", dv())
    monkeypatch.setitem(sys.modules, "metavision_core", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "metavision_core.event_io", metavision())


@pytest.mark.usefixtures("makers")
@pytest.mark.parametrize("name", ["camera:dv", "camera:dv:A1", "camera:metavision", "camera:metavision:B2"])
def test_events_of_a_camera(name: str) -> None:
    camera = open_camera(name)
    assert (camera.height, camera.width) == (4, 6)
    rows = [row for part in camera.parts for row in zip(part.t, part.x, part.y, part.p, strict=True)]
    assert rows == EVENTS


@pytest.mark.usefixtures("makers")
@pytest.mark.parametrize("name", ["camera:dv:Z9", "camera:metavision:Z9"])
def test_a_camera_that_is_not_there(name: str) -> None:
    with pytest.raises(DataError, match=r"cannot open the camera 'Z9'"):
        open_camera(name)


@pytest.mark.parametrize("library", [dv(serials=()), dv(resolution=None)])
def test_no_camera_at_all(library: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dv_processing", library)
    with pytest.raises(DataError, match="cannot open a camera"):
        open_camera("camera:dv")


@pytest.mark.parametrize("kind", ["dv", "metavision"])
def test_without_the_makers_package(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("dv_processing", "metavision_core", "metavision_core.event_io"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingOptionalError, match=f"Cameras of '{kind}' need") as caught:
        open_camera(f"camera:{kind}")
    assert "nstall" in str(caught.value.hint)


def test_an_unknown_kind() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'dv'"):
        open_camera("camera:dvs")
