"""``stream``: events in, decisions out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snn_deploy.cli.own import own_options

if TYPE_CHECKING:
    from snn_deploy.data.formats.base import Columns
    from snn_deploy.tasks.stream import Session, StepResult

PART = 1024
SAVE_SECONDS = 1.0


@own_options
def stream(
    source: Annotated[Path, typer.Argument(help="A bundle folder, a .nir file, or FILE.py:NAME.")],
    events: Annotated[
        str,
        typer.Option(
            "--events",
            help="A recording in any known format, - for standard input, camera:dv or camera:metavision.",
        ),
    ],
    form: Annotated[
        str,
        typer.Option("--format", help="Of standard input: csv (t,x,y,p a line) or bin (16-byte records)."),
    ] = "csv",
    backend: Annotated[str, typer.Option(help="reference, onnxruntime or c.")] = "reference",
    window: Annotated[
        int | None,
        typer.Option(help="Length of a frame in microseconds (or events). Default: as trained.", min=1),
    ] = None,
    sensor: Annotated[
        str | None, typer.Option(help="Height and width of the camera, such as 128x128. Default: as trained.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--every-step", help="Also print the steps within a sample.")
    ] = False,
    exit_at: Annotated[
        str | None,
        typer.Option(
            help="Confidence with which a sample ends early, such as 0.9, or off. Default: as exported."
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Keep the session in this file: a killed stream of a recording goes on there."),
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--override",
            metavar="KEY=VALUE",
            help="data.KEY=VALUE: of frames; of a recording data.columns, data.time_unit, data.clock.",
        ),
    ] = None,
    own: Any = None,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON per step.")] = False,
) -> None:
    """Feed events to a network as they come, and print its decisions and how long its steps take."""
    from snn_deploy import api
    from snn_deploy.cli import render
    from snn_deploy.cli.export import confidence_of
    from snn_deploy.cli.stream_view import Lines, Live, Records, latency
    from snn_deploy.data.formats.cameras import PREFIX, open_camera

    camera = open_camera(events) if events.startswith(PREFIX) else None
    size = _size(sensor) or (None if camera is None else (camera.height, camera.width))
    session = api.open_stream(
        source,
        backend,
        window=window,
        sensor=size,
        overrides=override or (),
        exit_at=confidence_of(exit_at, "off"),
        own=own,
    )
    if state is not None and state.exists():
        session.restore(state)
        render.note(f"going on after {session.events} events, from {state}")
    live = render.out.is_terminal and not json and not every
    early = session.rule is not None
    seconds: list[float] = []
    ended: list[int] = []
    with Records() if json else Live() if live else Lines(every, early) as view:
        parts = None if camera is None else _until_stopped(camera.parts)
        for result in _results(session, _pushed(session, events, form, parts), state):
            seconds.append(result.seconds)
            ended += [result.step + 1] * result.final
            view.show(result)
    if state is not None:
        session.save(state)
    if not json:
        for line in latency(seconds):
            render.say(line)
        if ended and session.rule is not None:
            mean = sum(ended) / len(ended)
            render.say(
                f"samples ended after {mean:.1f} of {session.timesteps} steps on average "
                f"(confidence {session.rule.at:g})"
            )
        if session.late:
            render.say(f"{session.late} events came after their frame was complete, and were left out")


def _results(
    session: Session, pushed: Iterator[list[StepResult]], state: Path | None
) -> Iterator[StepResult]:
    import time

    saved = time.monotonic()
    for results in pushed:
        yield from results
        if state is not None and time.monotonic() - saved > SAVE_SECONDS:
            session.save(state)
            saved = time.monotonic()
    yield from session.finish()


def _until_stopped(parts: Iterator[Columns]) -> Iterator[Columns]:
    """The events of a camera, which has no end, until Ctrl-C."""
    try:
        yield from (part for part in parts if len(part.t))
    except KeyboardInterrupt:
        return


def _pushed(
    session: Session, events: str, form: str, camera: Iterator[Columns] | None
) -> Iterator[list[StepResult]]:
    """The results of the events, part by part; of a recording only what the session has not seen.

    Raises:
        ConfigError: an unknown format.
        DataError: the recording is missing or damaged.
    """
    from snn_deploy.core.errors import ConfigError
    from snn_deploy.data.formats.pipes import read_pipe

    if camera is None and events != "-":
        for part in session.recording(Path(events)):
            yield session.push_events(part)
        return
    if form not in {"csv", "bin"}:
        raise ConfigError(f"Standard input is csv or bin, not '{form}'.")
    for columns in camera or read_pipe(sys.stdin.buffer, "csv" if form == "csv" else "bin", PART):
        yield session.push(columns.x, columns.y, columns.p, columns.t)


def _size(text: str | None) -> tuple[int, int] | None:
    from snn_deploy.core.errors import ConfigError

    if text is None:
        return None
    words: list[Any] = text.lower().split("x")
    if len(words) != 2 or not all(word.isdigit() and 0 < int(word) <= 8192 for word in words):
        raise ConfigError(
            f"'{text}' is no size of a camera.", hint="Height x width, such as --sensor 128x128"
        )
    return int(words[0]), int(words[1])
