"""The certificate in words: a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from snn_deploy.convert.documents import Certificate


def page(certificate: Certificate) -> str:
    """Markdown of ``certificate``; the picture beside it belongs to it."""
    return "\n".join(_lines(certificate)) + "\n"


def sweep_rows(certificate: Certificate) -> list[list[str]]:
    """T, accuracy of the quantised ANN and the spiking network, equal decisions, operations and their ratio
    to the ANN's multiplications."""
    return [
        [
            f"{row.timesteps}{' *' if row.timesteps == certificate.timesteps else ''}",
            percent(row.quantised),
            percent(row.spiking),
            percent(row.same_decision),
            count(row.sops),
            f"{row.sops / certificate.macs:.2f}" if certificate.macs else "-",
        ]
        for row in certificate.sweep
    ]


SWEEP_HEAD = ["T", "quantised", "spiking", "as the ANN", "SOPs", "/ MACs"]
LAYER_HEAD = ["layer", "clipping", "quantisation", "arrived", "unevenness", "total", "exact"]


def layer_rows(certificate: Certificate) -> list[list[str]]:
    """Errors of the layers, as shares of their activations, and how many outputs are exact."""
    return [
        [
            row.layer,
            *(percent(v) for v in (row.clipping, row.quantisation, row.arrived, row.unevenness, row.total)),
            percent(row.exact),
        ]
        for row in certificate.layers
    ]


def percent(value: float) -> str:
    """``97.3 %``."""
    return f"{100 * value:.1f} %"


def count(value: float) -> str:
    """``12.3 M``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def tuned(c: Certificate) -> str:
    """What fine-tuning did, in a sentence."""
    how = c.fine_tuning
    assert how is not None
    return (
        f"Fine-tuned for {how.levels} levels, {how.epochs} epochs in {how.seconds / 60:.1f} min: "
        f"{percent(how.accuracy)} with levels; on {how.validation_samples} validation samples "
        f"{percent(how.validation_before)} before, {percent(how.validation_after)} after."
    )


def _lines(c: Certificate) -> Iterator[str]:
    yield f"# {c.name}: certificate of the conversion"
    yield ""
    yield f"ANN: {percent(c.accuracy)} ({c.correct} of {c.samples}) on {c.samples_of}; {count(c.macs)} MACs."
    if c.fine_tuning is not None:
        yield tuned(c)
    row = c.chosen
    yield f"Spiking network, T = {c.timesteps}: {percent(row.spiking)} ({row.correct} of {c.samples})."
    yield ""
    yield "![Accuracy and operations against T](certificate.svg)"
    yield ""
    yield from _table(SWEEP_HEAD, sweep_rows(c))
    yield ""
    yield "`quantised` is the ANN with T levels per activation. Every row was calibrated for its T; * is the"
    yield "network in this folder."
    yield ""
    yield f"## Errors by layer, T = {c.timesteps}"
    yield ""
    yield from _table(LAYER_HEAD, layer_rows(c))
    yield ""
    yield "Roots of mean squared errors as shares of that of the layer's activations; `exact`: outputs that"
    yield "are the quantised value of their mean current."
    for title, sentences in (
        ("Kept exactly", c.kept),
        ("Not kept", c.lost),
        ("Data", c.notes or ("No remarks.",)),
    ):
        yield ""
        yield f"## {title}"
        yield ""
        yield from (f"- {sentence}" for sentence in sentences)


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join(['---'] * len(head))} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
