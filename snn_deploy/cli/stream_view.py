"""What a person sees of a stream: a picture that is drawn anew at every step, plain lines, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.live import Live as RichLive
from rich.text import Text

from snn_deploy.cli import render
from snn_deploy.tasks.stream import StepResult

ROWS = 16
BAR = 24
_SHADES = " ░▒▓█"


class Lines:
    """A line per decision; with ``every`` also one per step, with ``early`` how many steps it took."""

    def __init__(self, every: bool, early: bool = False) -> None:
        self._every, self._early = every, early

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *failure: object) -> None: ...

    def show(self, result: StepResult) -> None:
        """Print what ``result`` adds."""
        if result.final or self._every:
            kind = "decision" if result.final else f"step {result.step}"
            score = f"{result.scores[result.decision]:.3g}"
            steps = f", {result.step + 1} steps" if result.final and self._early else ""
            render.say(f"sample {result.sample}  {kind}  {result.label}  (score {score}{steps})")


class Records:
    """A line of JSON per step."""

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *failure: object) -> None: ...

    def show(self, result: StepResult) -> None:
        """Print ``result`` without its frame."""
        content: dict[str, Any] = {
            "sample": result.sample,
            "step": result.step,
            "final": result.final,
            "decision": result.decision,
            "label": result.label,
            "confidence": result.confidence,
            "scores": [float(score) for score in result.scores],
            "microseconds": round(1e6 * result.seconds, 1),
        }
        sys.stdout.write(json.dumps(content) + "\n")
        sys.stdout.flush()


class Live:
    """The frame, the score of every class and the last decision, in place."""

    def __init__(self) -> None:
        self._live = RichLive(console=render.out, refresh_per_second=12, transient=False)
        self._decision = "-"

    def __enter__(self) -> Live:
        self._live.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._live.stop()

    def show(self, result: StepResult) -> None:
        """Draw ``result``."""
        if result.final:
            self._decision = f"{result.label} (sample {result.sample})"
        self._live.update(picture(result, self._decision))


def picture(result: StepResult, decision: str) -> Text:
    """The frame beside bars of the scores, in at most 80 columns."""
    image, bars = frame_rows(result.frame), score_rows(result)
    width = max(len(row) for row in image)
    height = max(len(image), len(bars))
    lines = [f"sample {result.sample}, step {result.step + 1}; last decision: {decision}"[:80]]
    for row in range(height):
        left = image[row] if row < len(image) else ""
        lines.append(f"{left:{width}}  {bars[row] if row < len(bars) else ''}"[:80])
    return Text("\n".join(lines))


def frame_rows(frame: np.ndarray[Any, Any]) -> list[str]:
    """Counts ``[C, H, W]``, or ``[N]``, as rows of shades; blocks of pixels are joined until they fit."""
    counts = frame.sum(0) if frame.ndim == 3 else frame.reshape(1, -1)
    height, width = counts.shape
    block = max(1, -(-height // ROWS), -(-width // (2 * ROWS)))
    padded = np.pad(counts, ((0, -height % block), (0, -width % block)))
    joined = padded.reshape(-(-height // block), block, -(-width // block), block).sum((1, 3))
    top = max(float(joined.max()), 1.0)
    shade = np.ceil(joined / top * (len(_SHADES) - 1)).astype(int).clip(0, len(_SHADES) - 1)
    return ["".join(_SHADES[level] for level in row) for row in shade]


def score_rows(result: StepResult) -> list[str]:
    """A bar per class, at most as many as the picture has rows: the best ones."""
    best = np.argsort(-result.scores, kind="stable")[:ROWS]
    top = max(float(np.abs(result.scores).max()), 1e-9)
    return [
        f"{'>' if k == result.decision else ' '}{k:4d} {'█' * round(BAR * max(0.0, result.scores[k] / top))}"
        for k in sorted(int(k) for k in best)
    ]


def latency(seconds: Sequence[float]) -> list[str]:
    """How long steps took: the median, the 99th percentile and the worst one."""
    if not seconds:
        return ["no step was complete: the stream holds less than one frame"]
    p50, p99 = np.percentile(seconds, [50, 99])
    figures = ", ".join(
        f"{name} {1e6 * value:,.0f} us"
        for name, value in (("p50", p50), ("p99", p99), ("worst", max(seconds)))
    )
    return [f"{len(seconds)} steps; network per step: {figures}"]
