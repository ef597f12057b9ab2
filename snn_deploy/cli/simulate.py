"""``simulate``: run a network in a backend on real samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snn_deploy.cli.network import Data, Network, Override
from snn_deploy.cli.own import own_options
from snn_deploy.cli.reading import reading_options

if TYPE_CHECKING:
    from snn_deploy.tasks.simulate import LayerSpikes, Simulation

COLUMNS = ("layer", "neuron-steps", "spikes", "rate", "differ", "first (sample, step, neuron)")


@own_options
@reading_options
def simulate(
    source: Network,
    backend: Annotated[
        str | None,
        typer.Option(
            help="reference, loihi, onnxruntime, lava, c or c-float. Default: loihi for .net, or reference.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    samples: Annotated[str, typer.Option(help="Number of test samples, or all.")] = "64",
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="Spikes of each layer, and how many differ.")
    ] = False,
    override: Override = None,
    reading: Any = None,
    own: Any = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a network in a backend and compare it with what it should do, spike by spike."""
    from dataclasses import asdict

    from snn_deploy import api
    from snn_deploy.cli import render
    from snn_deploy.cli.export import sample_count

    result = api.simulate_network(
        source,
        backend,
        data=data,
        samples=sample_count(samples),
        overrides=override or (),
        reading=reading,
        own=own,
    )
    if not render.first_process():
        return
    for line in result.notes:
        render.note(line)
    if json:
        render.emit_json(asdict(result))
    else:
        _show(source, result, per_layer)
    result.require_equal()


def _show(source: Path, result: Simulation, per_layer: bool) -> None:
    from snn_deploy.cli import render

    rows = [("samples x steps", f"{result.samples} x {result.timesteps}")]
    if result.accuracy is not None:
        rows.append(("accuracy", f"{100 * result.accuracy:.2f} %"))
    if result.accuracy_reference is not None:
        rows.append((f"accuracy in {result.against}", f"{100 * result.accuracy_reference:.2f} %"))
    if result.same_decision is not None:
        rows.append(("same decision", f"{result.same_decision} of {result.samples}"))
    if result.spikes_compared:
        agreement = 100 * (1 - result.spikes_differing / result.spikes_compared)
        rows.append((f"as in {result.against}", f"{agreement:.3f} % of {result.spikes_compared:,} spikes"))
    render.table(["", ""], rows, title=f"{source} in {result.backend}")
    if result.against is None:
        render.say("compared with nothing: this backend is what others are held against")
    if per_layer:
        render.say()
        render.table(
            COLUMNS if result.against else COLUMNS[:4],
            (_layer(layer)[: None if result.against else 4] for layer in result.layers),
            title=f"{result.backend} against {result.against}" if result.against else "",
            numeric=COLUMNS[1:5],
        )


def _layer(layer: LayerSpikes) -> list[str]:
    first = ", ".join(str(number) for number in layer.first) if layer.first else ""
    differ = "" if layer.differing is None else f"{layer.differing:,}"
    rate = f"{layer.spikes / layer.elements:.4f}"
    return [layer.layer, f"{layer.elements:,}", f"{layer.spikes:,}", rate, differ, first]
