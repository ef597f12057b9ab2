"""The certificate of a conversion in the report: its picture, its tables, and what is kept.

What is not kept stands at the top of the page, among what to know before use.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from snn_deploy.convert.chart import chart
from snn_deploy.convert.documents import Certificate
from snn_deploy.convert.words import LAYER_HEAD, SWEEP_HEAD, layer_rows, sweep_rows

Rows = list[list[str]]


@dataclass(frozen=True, slots=True)
class ConversionView:
    """Texts of the section; ``tables`` are (heads, rows), their first column a name."""

    picture: Markup
    tables: tuple[tuple[list[str], Rows], ...]
    timesteps: int
    kept: tuple[str, ...]


def conversion_view(certificate: Certificate | None) -> ConversionView | None:
    """The section of a converted network; None for others."""
    if certificate is None:
        return None
    return ConversionView(
        picture=Markup(chart(certificate)),  # noqa: S704 - numbers and our own words
        tables=((SWEEP_HEAD, sweep_rows(certificate)), (LAYER_HEAD, layer_rows(certificate))),
        timesteps=certificate.timesteps,
        kept=certificate.kept,
    )
