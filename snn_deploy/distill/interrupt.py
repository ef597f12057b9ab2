"""Turn SIGINT and SIGTERM into a request to stop at the next safe point."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class StopRequest:
    """Whether, and by which signal, the run has been asked to stop."""

    def __init__(self) -> None:
        self.signal: str | None = None

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None


@contextlib.contextmanager
def stop_on_signal(*, patient: bool = False) -> Iterator[StopRequest]:
    """Catch the first SIGINT or SIGTERM; a second one acts as if nothing had been caught, unless ``patient``:
    a launcher hands on the Ctrl-C that the terminal has sent already.

    Outside the main thread, where Python allows no handlers, signals are left alone.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def ask(number: int, _frame: FrameType | None) -> None:
        request.signal = signal.Signals(number).name
        if not patient:
            restore()

    for number in previous:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        restore()
