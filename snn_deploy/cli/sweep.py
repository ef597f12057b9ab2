"""``sweep``: search over the fields of a recipe for accuracy and energy at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from snn_deploy.cli.trust import Trusting, asked


def sweep(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe, or a YAML file.")],
    trials: Annotated[int, typer.Option(min=1, max=100_000, help="Trials to do, over all machines.")] = 20,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes on this machine.")] = 1,
    space: Annotated[
        Path | None,
        typer.Option(help="YAML of what to vary. Default: the recipe's 'sweep'.", show_default=False),
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("-o", "--override", metavar="KEY=VALUE", help="Change a value for all trials."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Folder. Default: sweeps/NAME.", show_default=False)
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Optuna URL, or a file, that machines share. Default: a journal in the folder."),
    ] = None,
    profile: Annotated[str, typer.Option(help="Hardware profile that prices the energy.")] = "loihi1-davies",
    samples: Annotated[int, typer.Option(min=1, help="Validation samples to count activity on.")] = 64,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the sampler; that of training is in the recipe.")
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    trust: Trusting = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Search for students that are accurate and need little energy; the same command goes on."""
    from dataclasses import asdict

    from snn_deploy.cli import render
    from snn_deploy.recipes.recipe import load_recipe

    loaded = load_recipe(recipe, override or [], trust=asked(trust))
    target = folder or Path("sweeps") / loaded.name
    try:
        from snn_deploy.sweep.run import run_sweep
    except ModuleNotFoundError as missing:
        from snn_deploy.core.errors import MissingOptionalError

        if missing.name != "optuna":
            raise
        raise MissingOptionalError(
            "Sweeps need Optuna.", hint="Install it: pip install 'snn-deploy[sweep]'"
        ) from None
    with _progress(trials) as report:
        found = run_sweep(
            recipe,
            target,
            trials=trials,
            workers=workers,
            space=space,
            overrides=override or (),
            storage=storage,
            profile=profile,
            samples=samples,
            seed=seed,
            device=device,
            report=report,
        )
    if json:
        files = {kind: str(path) for kind, path in found.files.items()}
        parts = {name: [asdict(t) for t in getattr(found, name)] for name in ("front", "trials")}
        render.emit_json({**parts, "lost": found.lost, "files": files})
        return
    from snn_deploy.report import format as fmt
    from snn_deploy.sweep.report import short_names

    paths = list(found.front[0].values)
    failed = sum(trial.accuracy is None for trial in found.trials)
    render.table(
        ["trial", "validation", "energy", *short_names(paths)],
        (
            [
                trial.number,
                fmt.percent(trial.accuracy or 0.0, 2),
                fmt.si(trial.energy["mid"], "J"),
                *(f"{v:.4g}" if isinstance(v := trial.values[path], float) else v for path in paths),
            ]
            for trial in found.front
        ),
        title=f"Pareto front of {len(found.trials)} trials ({failed} failed, {found.lost} lost and repeated)",
        numeric=("trial", "validation", "energy"),
    )
    render.say(f"energy: dynamic, per inference, {profile}, central values")
    render.say(f"report: {found.files['html']}")
    if found.front:
        render.say(f"next:   snn-deploy export {target / found.front[-1].folder}")


@contextlib.contextmanager
def _progress(trials: int) -> Iterator[Callable[[Any, int], None]]:
    """A live bar on a terminal, plain lines when piped."""
    from snn_deploy.cli import render
    from snn_deploy.report import format as fmt

    def line(trial: Any, done: int) -> str:
        what = trial.error or (
            f"{fmt.percent(trial.accuracy, 2)} validation, {fmt.si(trial.energy['mid'], 'J')}"
        )
        return f"trial {trial.number}: {what} ({done} of {trials})"

    if not render.err.is_terminal:
        yield lambda trial, done: render.note(line(trial, done))
        return

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("trials"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=render.err, transient=True) as bars:
        task = bars.add_task("trials", total=trials)

        def report(trial: Any, done: int) -> None:
            render.note(line(trial, done))
            bars.update(task, completed=done)

        yield report
