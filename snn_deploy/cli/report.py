"""``report``: count, price and explain a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snn_deploy.cli.network import Data, Network, Override
from snn_deploy.cli.own import own_options
from snn_deploy.cli.reading import reading_options


@own_options
@reading_options
def report(
    source: Network,
    profile: Annotated[
        list[str] | None, typer.Option(help="Chip profile (name or file); repeat for several.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the report. Default: beside the source.")
    ] = None,
    data: Data = None,
    samples: Annotated[str, typer.Option(help="Number of test samples, or all.")] = "64",
    override: Override = None,
    reading: Any = None,
    own: Any = None,
    against: Annotated[
        Path | None, typer.Option(help="Compare with another report: its folder, or that of a run or bundle.")
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="Of html, json, csv, md, neurobench, separated by commas.")
    ] = "html,json,csv,neurobench",
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Also measure this machine: energy (RAPL, NVML) and time per step."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Count synaptic events exactly, price them by chip profile, and write the report."""
    from snn_deploy import api
    from snn_deploy.cli import render
    from snn_deploy.cli.export import sample_count
    from snn_deploy.report.read import read_report
    from snn_deploy.report.terminal import summary

    folder = out or _place(source)
    written = api.write_report(
        source,
        folder,
        profiles=profile,
        data=data,
        overrides=override or (),
        samples=sample_count(samples),
        formats=[part.strip() for part in formats.split(",") if part.strip()],
        against=against,
        measure=measure,
        reading=reading,
        own=own,
        report=render.note,
    )
    if json:
        typer.echo(written["json"].read_text())
        return
    render.out.print(summary(read_report(written["json"])))
    render.say(f"report:  {written.get('html', written['json'])}")


def _place(source: Path) -> Path:
    """Inside a run, beside a bundle (which stays as it was verified), or here for a file."""
    if (source / "manifest.json").is_file():
        bundle = source.resolve()
        return bundle.with_name(f"{bundle.name}-report")
    return source / "report" if source.is_dir() else Path(f"{source.stem}-report")
