"""How a training goes on, for people: a bar on a terminal, lines when piped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snn_deploy.distill.events import EpochDone

HEADER = "  epoch     loss     train       val        time   (* best so far)"


def _row(event: EpochDone) -> str:
    """An epoch as a row under ``HEADER``."""
    star = "*" if event.best else " "
    return (
        f"{event.epoch:>3}/{event.epochs:<3}  {event.loss:7.4f}  {100 * event.train_accuracy:6.2f} %  "
        f"{100 * event.validation_accuracy:6.2f} %{star} {event.seconds:7.1f} s"
    )


@contextlib.contextmanager
def progress() -> Iterator[Callable[[Any], None]]:
    """A live bar on a terminal, plain lines when piped."""
    from snn_deploy.cli import render
    from snn_deploy.distill.events import EpochDone, PhaseStarted, StepsDone

    if not render.first_process():
        yield lambda event: None
        return
    if not render.err.is_terminal:
        yield lambda event: None if isinstance(event, StepsDone) else render.note(str(event))
        return

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, console=render.err, transient=True) as bars:
        task: TaskID | None = None
        state = ""

        def report(event: Any) -> None:
            nonlocal task, state
            if isinstance(event, PhaseStarted):
                render.note(str(event))
                render.note(HEADER)
                if task is not None:
                    bars.remove_task(task)
                state = ""
                task = bars.add_task(event.phase, total=event.steps, completed=event.step, state=state)
            elif isinstance(event, StepsDone) and task is not None:
                bars.update(task, completed=event.step, state=f"loss {event.loss:.3f}{state}")
            elif isinstance(event, EpochDone):
                state = f"  val {100 * event.validation_accuracy:.1f} %"
                render.note(_row(event))
            else:
                render.note(str(event))

        yield report
