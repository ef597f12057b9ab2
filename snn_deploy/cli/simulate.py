"""``simulate``: run a network in a backend on real samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snn_deploy.cli.reading import Dt, FiresAt, Integrator, Reset, stated


def simulate(
    source: Annotated[Path, typer.Argument(help="A bundle folder or a .nir file.")],
    backend: Annotated[str, typer.Option(help="reference, loihi, onnxruntime or lava.")] = "reference",
    data: Annotated[
        str | None, typer.Option(help="Data set, or FILE.npz with x [T, N, ...] and y [N]. Default: its own.")
    ] = None,
    samples: Annotated[str, typer.Option(help="Number of test samples, or all.")] = "64",
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="Show the firing rate of each layer.")
    ] = False,
    dt: Dt = None,
    integrator: Integrator = None,
    fires_at: FiresAt = None,
    reset: Reset = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a network in a backend and compare it with the reference, spike by spike."""
    from dataclasses import asdict

    from snn_deploy import api
    from snn_deploy.cli import render
    from snn_deploy.cli.export import sample_count

    result = api.simulate_network(
        source,
        backend,
        data=data,
        samples=sample_count(samples),
        reading=stated(dt, integrator, fires_at, reset),
    )
    if json:
        render.emit_json(asdict(result))
        return
    rows = [("samples x steps", f"{result.samples} x {result.timesteps}")]
    if result.accuracy is not None and result.accuracy_reference is not None:
        rows.append(("accuracy", f"{100 * result.accuracy:.2f} %"))
        rows.append(("accuracy of the reference", f"{100 * result.accuracy_reference:.2f} %"))
    rows.append(("same decision", f"{result.same_decision} of {result.samples}"))
    if result.spikes_compared:
        agreement = 100 * (1 - result.spikes_differing / result.spikes_compared)
        rows.append(("equal spikes", f"{agreement:.3f} % of {result.spikes_compared:,}"))
    render.table(["", ""], rows, title=f"{source} in {result.backend}", numeric=())
    if per_layer:
        render.table(
            ["layer", "spikes per neuron and step"],
            ((name, f"{rate:.4f}") for name, rate in result.rates.items()),
            numeric=("spikes per neuron and step",),
        )
