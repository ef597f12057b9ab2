"""A stream of events, or of frames, to decisions: the network of a bundle, one step at a time.

Whatever the sizes of the parts in which events arrive, the frames, outputs and decisions are the same, and
the same as of the whole recording; see :mod:`snn_deploy.data.events.clock` for late events, gaps and jumps.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy.core.early_exit import ExitRule, confidence, factor
from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.data.events.clock import FrameClock
from snn_deploy.data.events.recording import Events, Sensor, make_events
from snn_deploy.data.options.frames import FrameOptions
from snn_deploy.simulate.stepping import Frame, Saved, Stepper
from snn_deploy.tasks.early_exit import ExitAt, rule_of, scale_of
from snn_deploy.tasks.source import Source
from snn_deploy.tasks.steppers import stepper_of
from snn_deploy.tasks.stream_data import StreamOptions, recorded, stream_options
from snn_deploy.tasks.stream_state import read_state, write_state


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step gave.

    Attributes:
        sample: number of the sample, from 0; a sample has T steps.
        step: number of the step in it, from 0.
        frame: what the network was given, ``[*in_shape]``.
        output: of the network, ``[*shape]``.
        scores: per class, decoded from the steps of the sample so far, ``[K]``.
        decision: number of the class with the largest score.
        label: its name.
        confidence: in the decision (:mod:`snn_deploy.core.early_exit`).
        final: whether the sample is complete with this step.
        seconds: that the network took.
    """

    sample: int
    step: int
    frame: npt.NDArray[Any]
    output: Frame
    scores: Frame
    decision: int
    label: str
    confidence: float
    final: bool
    seconds: float


class Session:
    """A network fed by a stream.

    Args:
        source: the network.
        stepper: what runs it.
        clock: makes its frames of events; None for a session that is given frames.
        timesteps: steps of a sample; the state is forgotten after them.
        rule: when a sample ends earlier; None for never. The next frame is then the first of the next sample.

    Attributes:
        timesteps, rule: as given.
        events: pushed so far, over all sessions that this one went on from.
    """

    def __init__(
        self,
        source: Source,
        stepper: Stepper,
        clock: FrameClock | None,
        timesteps: int,
        rule: ExitRule | None = None,
    ) -> None:
        self._stepper, self._clock, self.timesteps, self.rule = stepper, clock, timesteps, rule
        scale = rule.scale if rule else scale_of(source)
        self._factor = factor(scale, source.semantics.decode, timesteps)
        self._shape = source.plan.shapes[source.plan.input]
        self._classes, self._last = source.semantics.classes, source.semantics.decode == "last"
        self._sample = self._step = self.events = 0
        self._scores: Frame | None = None

    @property
    def sensor(self) -> Sensor:
        """The camera's field of view.

        Raises:
            ConfigError: the session is given frames.
        """
        return self._need_clock().sensor

    @property
    def late(self) -> int:
        """Events that came after their frame was complete, and were left out."""
        return self._clock.late if self._clock else 0

    def push(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        p: npt.ArrayLike,
        t: npt.ArrayLike,
    ) -> list[StepResult]:
        """The steps that are complete once the next events have come: columns, rows, polarities (0, 1) and
        microseconds.

        They have run when this returns: nothing is queued, so that a network that is too slow slows down
        whoever pushes.

        Raises:
            ConfigError: the session is given frames.
            DataError: an event lies outside of the sensor, or the clock jumps.
        """
        return self.push_events(_arriving(x, y, p, t, self.sensor))

    def push_events(self, events: Events) -> list[StepResult]:
        """The same for events that are checked already.

        Raises:
            ConfigError: the session is given frames.
            DataError: the clock jumps.
        """
        results = self._run(self._need_clock().push(events))
        self.events += len(events)
        return results

    def recording(self, path: Path) -> Iterator[Events]:
        """The events of a file, in order of time, but for those that were pushed already.

        Raises:
            ConfigError: the session is given frames.
            DataError: the file is missing or damaged, or its clock was set back.
        """
        options = self._need_clock().options
        known = options if isinstance(options, StreamOptions) else StreamOptions()
        return recorded(path, known, self.sensor, self.events)

    def push_frames(self, frames: npt.ArrayLike) -> list[StepResult]:
        """The steps of ``frames [n, *in_shape]``.

        Raises:
            DataError: another shape, or values that are not finite.
        """
        given = np.asarray(frames, np.float32)
        if given.ndim != 1 + len(self._shape) or given.shape[1:] != self._shape:
            raise DataError(f"Frames of shape {given.shape} were given; due are [n, {self._shape}].")
        if not np.isfinite(given).all():
            raise DataError("The frames hold values that are not finite.")
        return self._run(iter(given))

    def advance(self, t: int) -> list[StepResult]:
        """The steps that are complete at ``t`` microseconds, although no event has come since."""
        return self._run(self._need_clock().advance(t))

    def finish(self) -> list[StepResult]:
        """The step of the frame that is open; the stream has ended."""
        return self._run(self._clock.finish()) if self._clock else []

    def reset(self) -> None:
        """Forget the sample that has begun; the next step is the first of the next one."""
        if self._step:
            self._stepper.reset()
            self._sample, self._step, self._scores = self._sample + 1, 0, None

    def save(self, path: Path) -> None:
        """Write all that the session remembers, so that another one goes on from here."""
        arrays: Saved = {f"network/{name}": array for name, array in self._stepper.state().items()}
        if self._clock:
            arrays |= {f"clock/{name}": array for name, array in self._clock.state().items()}
        if self._scores is not None:
            arrays["scores"] = self._scores
        head = {"sample": self._sample, "step": self._step, "events": self.events}
        write_state(path, arrays, head)

    def restore(self, path: Path) -> None:
        """Go on from what :meth:`save` wrote.

        Raises:
            DataError: the file is missing, damaged, or of another network, backend or kind of frames.
        """
        arrays, head = read_state(path)
        scores = arrays.pop("scores", None)
        part = {
            kind: {k.removeprefix(kind): v for k, v in arrays.items() if k.startswith(kind)}
            for kind in ("network/", "clock/")
        }
        if bool(part["clock/"]) != (self._clock is not None) or (scores is None) != (head["step"] == 0):
            raise DataError(f"'{path}' is of a session with other frames.")
        if self._clock:
            self._clock.restore({name: array.astype(np.int64) for name, array in part["clock/"].items()})
        self._stepper.restore(part["network/"])
        self._sample, self._step, self.events = head["sample"], head["step"], head["events"]
        self._scores = None if scores is None else scores.astype(np.float32)

    def _need_clock(self) -> FrameClock:
        if self._clock is None:
            raise ConfigError("This session is given frames, not events.", hint="Use push_frames.")
        return self._clock

    def _run(self, frames: Iterable[npt.NDArray[Any]]) -> list[StepResult]:
        results = []
        for frame in frames:
            start = time.perf_counter()
            output = self._stepper.step(np.ascontiguousarray(frame, np.float32))
            results.append(self._result(frame, output, time.perf_counter() - start))
        return results

    def _result(self, frame: npt.NDArray[Any], output: Frame, seconds: float) -> StepResult:
        flat = output.reshape(-1)
        known = np.zeros_like(flat) if self._scores is None or self._last else self._scores
        self._scores = known + flat
        self._step += 1
        best = int(self._scores.argmax())
        label = self._classes[best] if best < len(self._classes) else str(best)
        scores = self._scores if self._last else self._scores / np.float32(self._step)
        sure = float(confidence(self._scores, self._factor))
        final = self._step == self.timesteps or (self.rule is not None and sure >= self.rule.at)
        result = StepResult(
            self._sample, self._step - 1, frame, output, scores, best, label, sure, final, seconds
        )
        if final:
            self.reset()
        return result


def open_session(
    source: Source,
    backend: str = "reference",
    *,
    window: int | None = None,
    sensor: tuple[int, int] | None = None,
    frames: FrameOptions | None = None,
    overrides: Sequence[str] = (),
    exit_at: ExitAt = None,
) -> Session:
    """A session of a network.

    Args:
        source: the network.
        backend: ``reference``, or ``onnxruntime`` or ``c``, which run the files of a bundle.
        window: length of a frame, in microseconds, or in events where frames are of equal count; by default
            the one the network was trained with.
        sensor: height and width of the camera; by default what the network's input and ``frames`` say.
        frames: how events become frames; by default as the network was trained,
        overrides: but for these, see :func:`~snn_deploy.tasks.stream_data.stream_options`.
        exit_at: see :func:`~snn_deploy.tasks.early_exit.rule_of`.

    Raises:
        ConfigError: a backend that cannot step, no length of frames, or a sensor that must be stated.
    """
    timesteps = source.semantics.timesteps
    if timesteps is None:
        raise ConfigError(
            f"'{source.name}' does not say how many steps a sample has.",
            hint="State it for a module: --timesteps 8" if source.kind == "module" else None,
        )
    options, camera = (frames, None) if frames is not None else stream_options(source, overrides)
    if options is not None and window is not None:
        options = options.model_copy(update={"window": window})
    clock = None
    if options is not None:
        clock = FrameClock(_sensor(source, options, sensor, camera), options)
        expected = source.plan.shapes[source.plan.input]
        if clock.shape != expected:
            raise ConfigError(
                f"Frames of this sensor have the shape {clock.shape}; '{source.name}' takes {expected}.",
                hint="State the camera's height and width: --sensor 128x128",
            )
    return Session(source, stepper_of(source, backend), clock, timesteps, rule_of(source, exit_at))


def _sensor(
    source: Source, options: FrameOptions, given: tuple[int, int] | None, camera: Sensor | None
) -> Sensor:
    if given is None:
        if camera is not None:
            return camera
        if options.crop or options.resize:
            raise ConfigError(
                "The size of the camera does not follow from cropped or resized frames.",
                hint="State its height and width: --sensor 128x128",
            )
        height, width = source.plan.shapes[source.plan.input][-2:]
        given = height * options.downsample, width * options.downsample
    return Sensor(2, *given)


def _arriving(
    x: npt.ArrayLike, y: npt.ArrayLike, p: npt.ArrayLike, t: npt.ArrayLike, sensor: Sensor
) -> Events:
    """Checked events in the order in which they arrive, which need not be that of time."""
    times = np.asarray(t)
    checked = make_events(np.asarray(x), np.asarray(y), np.sort(times), np.asarray(p), sensor)
    return Events(times.astype(np.int64), checked.address)
