"""A picture of the sweep: accuracies and synaptic operations against T, as SVG without any library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from snn_deploy.convert.documents import Certificate

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 60, 34, 44
ANN, QUANTISED, SPIKING, WORK = "#555555", "#2f6fab", "#c0392b", "#8a8a8a"


def chart(certificate: Certificate) -> str:
    """SVG: T on a logarithmic axis, accuracy at the left, operations as a multiple of the ANN's at the
    right."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            *_parts(certificate),
            "</svg>",
            "",
        ]
    )


class _Plane:
    """Where values lie in the picture."""

    def __init__(self, certificate: Certificate) -> None:
        self.steps = [row.timesteps for row in certificate.sweep]
        values = [
            certificate.accuracy,
            *(v for row in certificate.sweep for v in (row.quantised, row.spiking)),
        ]
        self.low = math.floor(min(values) * 10) / 10
        self.high = min(1.0, math.ceil(max(values) * 20) / 20)
        if self.high - self.low < 0.1:
            self.low = self.high - 0.1
        self.ratios = [row.sops / certificate.macs if certificate.macs else 0.0 for row in certificate.sweep]
        self.most = max([*self.ratios, 1e-9]) * 1.15

    def x(self, timesteps: int) -> float:
        first, last = math.log2(self.steps[0]), math.log2(self.steps[-1])
        share = (math.log2(timesteps) - first) / (last - first) if last > first else 0.5
        return LEFT + 14 + share * (WIDTH - LEFT - RIGHT - 28)

    def y(self, accuracy: float) -> float:
        return TOP + (self.high - accuracy) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)

    def bar(self, ratio: float) -> float:
        return HEIGHT - BOTTOM - ratio / self.most * (HEIGHT - TOP - BOTTOM)


def _parts(c: Certificate) -> Iterator[str]:
    plane = _Plane(c)
    bottom = HEIGHT - BOTTOM
    for row, ratio in zip(c.sweep, plane.ratios, strict=True):
        at, top = plane.x(row.timesteps), plane.bar(ratio)
        yield f'<rect x="{at - 9:.1f}" y="{top:.1f}" width="18" height="{bottom - top:.1f}" fill="#e4e4e4"/>'
        yield _text(at, bottom + 16, str(row.timesteps), "middle")
    ticks = 5
    for i in range(ticks + 1):
        accuracy = plane.low + (plane.high - plane.low) * i / ticks
        at = plane.y(accuracy)
        yield f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke="#dddddd"/>'
        yield _text(LEFT - 6, at + 4, f"{100 * accuracy:.0f} %", "end")
        yield _text(WIDTH - RIGHT + 6, at + 4, f"{plane.most * i / ticks:.2g}", "start", WORK)
    at = plane.y(c.accuracy)
    ends = f'x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"'
    yield f'<line {ends} stroke="{ANN}" stroke-dasharray="5 4"/>'
    yield from _curve(plane, [row.quantised for row in c.sweep], QUANTISED)
    yield from _curve(plane, [row.spiking for row in c.sweep], SPIKING)
    names = (
        ("ANN", ANN),
        ("quantised ANN", QUANTISED),
        ("spiking network", SPIKING),
        ("SOPs / MACs (right)", WORK),
    )
    place = float(LEFT)
    for name, colour in names:
        yield f'<rect x="{place:.0f}" y="12" width="10" height="10" fill="{colour}"/>'
        yield _text(place + 14, 21, name, "start")
        place += 28 + 7.2 * len(name)
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "time steps T", "middle")


def _curve(plane: _Plane, values: Sequence[float], colour: str) -> Iterator[str]:
    points = [(plane.x(t), plane.y(v)) for t, v in zip(plane.steps, values, strict=True)]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/>' for x, y in points)


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#222222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
