"""Events of a camera that is plugged in, through its maker's package, which is imported when it is asked for.

``dv`` opens iniVation's cameras by dv-processing 2, ``metavision`` Prophesee's by the Metavision SDK.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from snn_deploy.core.errors import ConfigError, DataError, MissingOptionalError, did_you_mean
from snn_deploy.data.formats.base import Columns

PREFIX = "camera:"
PART_US = 1000
"""Length of the parts that a camera hands over, in microseconds; our choice."""
IDLE_SECONDS = 1e-3


@dataclass(frozen=True, slots=True)
class Camera:
    """An open camera: ``height`` and ``width`` in pixels, and its events in parts, without end."""

    height: int
    width: int
    parts: Iterator[Columns]


def open_camera(name: str) -> Camera:
    """The camera ``camera:KIND``, the first one found, or ``camera:KIND:SERIAL``.

    Raises:
        ConfigError: an unknown kind.
        MissingOptionalError: the maker's package is not installed.
        DataError: there is no such camera, or it does not say how large its picture is.
    """
    kind, _, serial = name.removeprefix(PREFIX).partition(":")
    if kind not in _KINDS:
        raise ConfigError(
            f"There is no kind of camera '{kind}'.{did_you_mean(kind, _KINDS)}",
            hint=f"Known: {', '.join(PREFIX + known for known in _KINDS)}",
        )
    module, package, opened = _KINDS[kind]
    try:
        library = importlib.import_module(module)
    except ImportError as error:
        raise MissingOptionalError(
            f"Cameras of '{kind}' need {package} ({error}).", hint=_HINTS[kind]
        ) from None
    try:
        return opened(library, serial)
    except (RuntimeError, OSError, LookupError, ValueError) as error:
        which = f"the camera '{serial}'" if serial else "a camera"
        raise DataError(
            f"{package} cannot open {which}: {error}", hint="Is it plugged in, and free?"
        ) from None


def _dv(library: Any, serial: str) -> Camera:
    camera = library.io.camera.open(serial) if serial else library.io.camera.open()
    size = camera.getEventResolution()
    if size is None:
        raise ValueError("it sends no events")
    width, height = size
    return Camera(int(height), int(width), _dv_parts(camera))


def _dv_parts(camera: Any) -> Iterator[Columns]:
    while camera.isRunning():
        batch = camera.getNextEventBatch()
        if batch is None:
            time.sleep(IDLE_SECONDS)
            continue
        found = batch.numpy()
        yield Columns(found["x"], found["y"], found["timestamp"], found["polarity"])


def _metavision(library: Any, serial: str) -> Camera:
    slices = library.EventsIterator(input_path=serial, delta_t=PART_US)
    height, width = slices.get_size()
    parts = (Columns(found["x"], found["y"], found["t"], found["p"]) for found in slices)
    return Camera(int(height), int(width), parts)


_KINDS: dict[str, tuple[str, str, Callable[[Any, str], Camera]]] = {
    "dv": ("dv_processing", "dv-processing", _dv),
    "metavision": ("metavision_core.event_io", "the Metavision SDK", _metavision),
}
_HINTS = {
    "dv": "Install it: python -m pip install dv-processing",
    "metavision": "Install Prophesee's SDK (docs.prophesee.ai), or OpenEB, for this Python.",
}
