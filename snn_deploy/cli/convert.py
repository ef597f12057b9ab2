"""``convert``: an ANN becomes a spiking network, with a certificate of what was kept."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from snn_deploy.cli.network import is_there
from snn_deploy.cli.own import own_options
from snn_deploy.cli.progress import progress


@own_options
def convert(
    ann: Annotated[
        Path,
        typer.Argument(
            callback=is_there, help="FILE.py:NAME with --weights, an .onnx file, or a run: its teacher."
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set, FILE.py:NAME, or FILE.npz of test images with x [T, N, ...] and y [N]. "
            "Default: the run's own.",
            show_default=False,
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="FILE.npz of training images, beside a FILE.npz of test images.", show_default=False
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("-o", "--option", help="Option of the data set: data.KEY=VALUE; repeat for several."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write. Default: NAME-snn.", show_default=False)
    ] = None,
    sweep: Annotated[
        str, typer.Option(help="Further T to measure, separated by commas; each is calibrated for itself.")
    ] = "2,4,8,16,32",
    samples: Annotated[str, typer.Option(help="Test samples to measure: a number, or all.")] = "1000",
    images: Annotated[int, typer.Option(min=1, max=65536, help="Calibration images.")] = 256,
    rounds: Annotated[
        int,
        typer.Option(
            min=0, max=64, help="Rounds per layer of fitting thresholds and weights to real spikes."
        ),
    ] = 3,
    thresholds: Annotated[
        Literal["channel", "layer"], typer.Option(help="One threshold per channel, or per layer.")
    ] = "channel",
    max_pool: Annotated[
        Literal["or", "average"], typer.Option(help="What stands for max pooling; both are approximations.")
    ] = "or",
    fine_tune: Annotated[
        int | None,
        typer.Option(
            "--fine-tune",
            metavar="EPOCHS",
            min=1,
            max=10_000,
            help="Train the ANN for T levels per activation first, against its own scores.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the fine-tuning; 0 by default.", show_default=False)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a fine-tuning that was stopped.")
    ] = False,
    then_distil: Annotated[
        str | None,
        typer.Option(
            "--then-distil",
            metavar="RECIPE",
            help="Train the network on by a recipe, in OUT-distilled: distill RECIPE --init OUT.",
            show_default=False,
        ),
    ] = None,
    own: Any = None,
    json: Annotated[bool, typer.Option("--json", help="Print the certificate as JSON.")] = False,
) -> None:
    """Convert a trained ANN to a spiking network for T steps, and certify what was kept."""
    from dataclasses import replace

    from snn_deploy.cli import render
    from snn_deploy.cli.export import sample_count
    from snn_deploy.cli.trust import asked
    from snn_deploy.convert.choices import Choices, FineTuning
    from snn_deploy.core.errors import ConfigError
    from snn_deploy.recipes.recipe import load_recipe
    from snn_deploy.tasks.convert import convert_network

    if fine_tune is None and (resume or seed is not None):
        raise ConfigError("--resume and --seed are of a fine-tuning.", hint="Add --fine-tune EPOCHS.")
    if then_distil is not None:
        load_recipe(then_distil, trust=asked(own.trust))  # a fault in it is told before anything is trained
    target = out or Path(f"{_stem(ann)}-snn")
    with progress() if fine_tune else contextlib.nullcontext(render.note) as report:
        conversion = convert_network(
            ann,
            target,
            data=data,
            calibration=calibration,
            timesteps=own.timesteps or 8,
            sweep=steps_of(sweep),
            samples=sample_count(samples),
            choices=Choices(
                images=images, rounds=rounds, each_channel=thresholds == "channel", max_pool=max_pool
            ),
            fine_tuning=FineTuning(fine_tune, seed or 0) if fine_tune else None,
            resume=resume,
            overrides=option or (),
            own=replace(own, timesteps=None),
            report=report,
        )
    if json:
        render.emit_json(conversion.certificate.model_dump(mode="json"))
    else:
        _show(conversion)
        render.say(f"certificate: {target / 'certificate.md'}")
    if then_distil is not None:
        _distil(then_distil, target, trust=own.trust, quiet=json)
    elif not json:
        more = "" if conversion.certificate.data is not None else f" --data {data}"
        render.say(f"next:        snn-deploy export {target} --to nir,onnx --allow reset-in-metadata{more}")


def _distil(recipe: str, conversion: Path, *, trust: bool, quiet: bool) -> None:
    """Train the converted network on; the command that does it alone is told, for after an interruption."""
    from snn_deploy.cli import render
    from snn_deploy.cli.distill import show
    from snn_deploy.cli.trust import asked
    from snn_deploy.tasks.distill import distill_student, wanted_recipe

    run_dir = conversion.with_name(f"{conversion.name}-distilled")
    render.note(f"snn-deploy distill {recipe} --init {conversion} --run-dir {run_dir} --resume")
    wanted = wanted_recipe(recipe, (), conversion, trust=asked(trust))
    with progress() as report:
        run = distill_student(wanted, run_dir, report=report)
    if not quiet:
        show(run)


def steps_of(text: str) -> list[int]:
    """The numbers of ``2,4,8``.

    Raises:
        ConfigError: something else.
    """
    from snn_deploy.core.errors import ConfigError

    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise ConfigError(f"--sweep takes numbers of steps, such as 2,4,8; found '{text}'.")
    return [int(part) for part in parts]


def _stem(ann: Path) -> str:
    name = ann.name
    return name.rpartition(":")[2] if ".py:" in name else ann.stem


def _show(conversion: Any) -> None:
    from snn_deploy.cli import render
    from snn_deploy.convert.words import LAYER_HEAD, SWEEP_HEAD, layer_rows, percent, sweep_rows, tuned

    c = conversion.certificate
    render.table(
        SWEEP_HEAD,
        sweep_rows(c),
        title=f"{c.name}: ANN {percent(c.accuracy)} of {c.samples}",
        numeric=SWEEP_HEAD,
    )
    render.table(
        LAYER_HEAD, layer_rows(c), title=f"errors by layer, T = {c.timesteps}", numeric=tuple(LAYER_HEAD[1:])
    )
    if c.fine_tuning is not None:
        render.say(tuned(c))
    for sentence in c.lost:
        render.say(f"not kept: {sentence}")
    for sentence in c.notes:
        render.say(f"data: {sentence}")
