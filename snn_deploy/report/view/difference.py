"""Where the first proof that failed differs first: the page opens there."""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.core.text import runtime_name
from snn_deploy.report import format as fmt
from snn_deploy.report.model import ParityRow, ReportData
from snn_deploy.report.shown import Recording


@dataclass(frozen=True, slots=True)
class Difference:
    """The first differing spike of a failed proof; steps count from 1, ``sample`` and ``neuron`` from 0.

    ``place`` is the position of the sample among those shown, None where it is not shown.
    """

    check: str
    layer: str
    step: int
    sample: int
    neuron: int
    place: int | None
    text: str


def difference_view(data: ReportData) -> Difference | None:
    """The first layer, in order of execution, that differs without a reason, in the first failed check."""
    for row in data.parity:
        if row.verdict != "failed":
            continue
        for layer in row.layers:
            if layer.first is not None and (layer.unexplained or not row.exact):
                step, sample, neuron = layer.first
                place = _place(data.recording, layer.layer, step, sample, neuron)
                return Difference(
                    check=f"{row.format} in {runtime_name(row.runtime)}",
                    layer=layer.layer,
                    step=step + 1,
                    sample=sample,
                    neuron=neuron,
                    place=place,
                    text=_text(row, layer.layer, step, sample, neuron, layer.differing),
                )
    return None


def _place(recording: Recording | None, name: str, step: int, sample: int, neuron: int) -> int | None:
    """Among the samples shown, where the spike itself can be seen."""
    if recording is None or step >= recording.steps:
        return None
    layer = next((found for found in recording.layers if found.layer == name), None)
    if layer is None or neuron not in layer.rows:
        return None
    numbers = [shown.number for shown in recording.samples]
    return numbers.index(sample) if sample in numbers else None


def _text(row: ParityRow, layer: str, step: int, sample: int, neuron: int, differing: int) -> str:
    check = f"{row.format} in {runtime_name(row.runtime)}"
    place = f"at step {step + 1}, in neuron {fmt.number(neuron)} of sample {fmt.number(sample)}"
    return f"{check} differs first in layer {layer}, {place}; {fmt.number(differing)} spikes of it differ."
