"""Where the first proof that failed differs first: the page opens there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snn_deploy.core.text import proof_name
from snn_deploy.report import format as fmt
from snn_deploy.report.model import LayerParityRow, ParityRow, ReportData
from snn_deploy.report.shown import Recording


@dataclass(frozen=True, slots=True)
class Difference:
    """The first differing spike of a failed proof; steps count from 1, ``sample`` and ``neuron`` from 0.

    ``place`` is the position of the sample among those shown, None where it is not shown.
    """

    layer: str
    step: int
    sample: int
    neuron: int
    place: int | None
    text: str


def first_difference(rows: Iterable[ParityRow]) -> tuple[ParityRow, LayerParityRow] | None:
    """The first failed check, and its first layer in order of execution that differs without a reason."""
    found = (
        (row, layer)
        for row in rows
        if row.verdict == "failed"
        for layer in row.layers
        if layer.first is not None and (layer.unexplained or not row.exact)
    )
    return next(found, None)


def difference_view(data: ReportData) -> Difference | None:
    """Where the page opens; None where no proof failed."""
    found = first_difference(data.parity)
    if found is None:
        return None
    row, layer = found
    assert layer.first is not None
    step, sample, neuron = layer.first
    where = f"at step {step + 1}, in neuron {fmt.number(neuron)} of sample {fmt.number(sample)}"
    return Difference(
        layer=layer.layer,
        step=step + 1,
        sample=sample,
        neuron=neuron,
        place=_place(data.recording, layer.layer, step, sample, neuron),
        text=f"{proof_name(row.format, row.runtime)} differs first in layer {layer.layer}, {where}; "
        f"{fmt.number(layer.differing)} spikes of it differ.",
    )


def _place(recording: Recording | None, name: str, step: int, sample: int, neuron: int) -> int | None:
    """Among the samples shown, where the spike itself can be seen."""
    if recording is None or step >= recording.steps:
        return None
    layer = next((found for found in recording.layers if found.layer == name), None)
    if layer is None or neuron not in layer.rows:
        return None
    numbers = [shown.number for shown in recording.samples]
    return numbers.index(sample) if sample in numbers else None
