"""``distill``: train a student from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snn_deploy.cli.network import is_there
from snn_deploy.cli.progress import progress
from snn_deploy.cli.trust import Trusting, asked

if TYPE_CHECKING:
    from snn_deploy.recipes.run_folder import Run


def distill(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe, or a YAML file.")],
    override: Annotated[
        list[str] | None,
        typer.Option("-o", "--override", metavar="KEY=VALUE", help="Change a value: -o train.epochs=4"),
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", help="Run folder. Default: runs/NAME.", show_default=False)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run; start one where there is none.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int | None, typer.Option(min=0, help="Seed; default: the recipe's.")] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init",
            callback=is_there,
            help="A conversion or a run: the student begins there. A conversion is the student itself, and "
            "its ANN the teacher.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show what would be trained.")
    ] = False,
    trust: Trusting = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train the teacher, unless the recipe names one, and distil the spiking student."""
    from snn_deploy.cli import render
    from snn_deploy.recipes.recipe import load_recipe

    overrides = [*(override or []), *([] if seed is None else [f"seed={seed}"])]
    if init is None:
        loaded = load_recipe(
            recipe, overrides, trust=asked(trust)
        )  # before torch is loaded: a fault is told at once

    from snn_deploy.tasks.distill import describe, distill_student, wanted_recipe

    if init is not None:
        loaded = wanted_recipe(recipe, overrides, init, trust=asked(trust))
    if dry_run:
        if not render.first_process():
            return
        description = describe(loaded)
        if json:
            render.emit_json(description)
        else:
            render.table(["", ""], description.items(), title=f"{loaded.name} (dry run)")
        return
    target = run_dir or Path("runs") / loaded.name
    with progress() as report:
        run = distill_student(loaded, target, resume=resume, device=device, report=report)
    if not render.first_process():
        return
    if json:
        render.emit_json(run.result())
    else:
        show(run)


def show(run: Run) -> None:
    """Print the final figures of a run, and the next command."""
    from snn_deploy.cli import render

    result = run.result()
    total = result["data"]["samples"]["test"]
    roles = {"teacher": "teacher", "real_student": "student, real", "student": "student"}
    networks = [(name, result[role]) for role, name in roles.items() if result.get(role) is not None]
    columns = ["network", "validation", "test", "correct", "parameters", "trained in"]
    rows = (
        [
            role,
            f"{100 * figures['validation_accuracy']:.2f} %",
            f"{100 * figures['test_accuracy']:.2f} %",
            f"{figures['test_correct']}/{total}",
            f"{figures['parameters']:,}",
            f"{figures['seconds']:.0f} s",
        ]
        for role, figures in networks
    )
    methods = "+".join(result["method"])
    title = f"{result['recipe']}: {methods} on {result['data']['name']}, T = {result['timesteps']}"
    render.table(columns, rows, title=title, numeric=columns[1:])
    render.say(f"run:   {run.path}")
    render.say(f"next:  snn-deploy export {run.path}")
