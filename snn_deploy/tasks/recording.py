"""A few samples with the spikes they set off, small enough to lie in a page.

Everything is bounded (our choices, below): of a large layer some neurons are shown, spread over it, of a long
run the first steps, and inputs are pooled. What was left out is said where it is shown.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from math import gcd, prod

import numpy as np
import torch

from snn_deploy.data.sets.splits import spread
from snn_deploy.report.shown import Recording, ShownInput, ShownLayer, ShownSample
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.decisions import Deciding

SAMPLES = 4
MAX_STEPS = 256
MAX_ROWS = 256
SPIKE_BYTES = 320 << 10
"""Of all layers and samples together."""
INPUT_BYTES = 160 << 10
"""Of all samples together."""
SMALLEST = 16
"""Inputs are pooled down to so many pixels a side, before frames are merged."""
MOST_PIXELS = 64


def record(
    reference: Reference,
    x: torch.Tensor,
    numbers: Sequence[int],
    labels: torch.Tensor | None,
    decode: str,
    wanted: Mapping[str, Sequence[int]],
) -> Recording:
    """Run the samples ``numbers`` of ``x [T, N, *shape]`` and keep what they set off.

    ``wanted`` are neurons, by layer, that must be among those shown.
    """
    chosen = x[:, list(numbers)]
    steps = min(len(x), MAX_STEPS)
    plan = reference.plan
    rows = _rows({name: prod(plan.shapes[name]) for name in reference.layers}, wanted, steps * len(numbers))
    fired: dict[str, list[torch.Tensor]] = {name: [] for name in rows}
    deciding = Deciding(decode)
    for records in reference.blocks(chosen[:steps], record=True, also=(plan.output,)):
        for name, taken in rows.items():
            fired[name].append((records[name].flatten(2)[:, :, taken] != 0).cpu())
        deciding.see(records[plan.output])
    decided = deciding.decided().classes
    return Recording(
        steps=steps,
        steps_in_all=len(x),
        samples=tuple(
            ShownSample(
                number=number,
                label=None if labels is None else int(labels[number]),
                decided=tuple(decided[:, place].tolist()),
            )
            for place, number in enumerate(numbers)
        ),
        input=shown_input(chosen[:steps].float().cpu()),
        layers=tuple(_layer(name, prod(plan.shapes[name]), rows[name], fired[name]) for name in rows),
    )


def _rows(sizes: Mapping[str, int], wanted: Mapping[str, Sequence[int]], bits: int) -> dict[str, list[int]]:
    """Neurons shown of each layer; a row of one layer takes ``bits``."""
    share = max(8 * SPIKE_BYTES // (max(len(sizes), 1) * bits), 8)
    found = {}
    for name, size in sizes.items():
        count = min(size, MAX_ROWS, share)
        asked = [neuron for neuron in wanted.get(name, ()) if neuron < size]
        found[name] = sorted(list(dict.fromkeys([*asked, *scattered(size, count)]))[:count])
    return found


def scattered(size: int, count: int) -> list[int]:
    """``count`` different numbers below ``size``, in step with no map, row or channel of a layer.

    Multiples of the whole number next to size / golden ratio that shares no factor with ``size``, modulo it.
    """
    stride = max(round(size / 1.618034), 1)
    while gcd(stride, size) > 1:
        stride += 1
    return [i * stride % size for i in range(count)]


def _layer(name: str, neurons: int, rows: Sequence[int], fired: Sequence[torch.Tensor]) -> ShownLayer:
    spikes = torch.cat(list(fired)).numpy()
    return ShownLayer(
        layer=name,
        neurons=neurons,
        rows=tuple(rows),
        spikes=tuple(_base64(np.packbits(spikes[:, sample])) for sample in range(spikes.shape[1])),
    )


def shown_input(x: torch.Tensor) -> ShownInput:
    """Inputs ``x [T, S, *shape]`` as frames of bytes that fit ``INPUT_BYTES``."""
    frames, kind, notes = _as_frames(x)
    merged = 1
    if len(frames) > 1 and bool((frames == frames[0]).all()):
        frames = frames[:1]
        notes.append("the same in every step")
    smaller = _halved(frames, kind)
    if smaller.shape != frames.shape:
        notes.append(f"shown at {smaller.shape[3]} × {smaller.shape[4]}")
    frames = smaller
    steps = len(frames)
    while frames.numel() > INPUT_BYTES and len(frames) > 1:
        merged *= 2
        frames = _merged(frames, summed=kind == "events")
    if merged > 1:
        notes.append(f"{merged} of {steps} steps to a frame")
    low, high = float(frames.min()), float(frames.max())
    low = min(low, 0.0)
    scale = 255 / (high - low) if high > low else 0.0
    coded = ((frames - low) * scale).round().to(torch.uint8).numpy()
    return ShownInput(
        kind=kind,
        shape=tuple(coded.shape[2:]),
        frames=len(coded),
        steps_per_frame=merged,
        low=low,
        high=high,
        values=tuple(_base64(coded[:, sample]) for sample in range(coded.shape[1])),
        note="; ".join(notes),
    )


def _as_frames(x: torch.Tensor) -> tuple[torch.Tensor, str, list[str]]:
    """``x`` as ``[T, S, C, H, W]`` with its kind, and what was left out."""
    shape = x.shape[2:]
    if len(shape) == 3 and shape[0] == 2 and float(x.min()) >= 0:
        return x, "events", []
    if len(shape) == 3 and shape[0] in {1, 3}:
        return x, "grey" if shape[0] == 1 else "colour", []
    if len(shape) == 3:
        return x.sum(2, keepdim=True), "grey", [f"the sum of {shape[0]} channels"]
    flat = x.flatten(2)
    notes = []
    if flat.shape[2] > MAX_ROWS:
        notes.append(f"{MAX_ROWS} of {flat.shape[2]} values, evenly spread")
        flat = flat[:, :, spread(flat.shape[2], MAX_ROWS)]
    return flat[:, :, None, None], "channels", notes


def _halved(frames: torch.Tensor, kind: str) -> torch.Tensor:
    """Pooled by two, again and again, until it fits; events by sums, pictures by means."""

    def too_large() -> bool:
        sides = frames.shape[-2:]
        return max(sides) > MOST_PIXELS or (frames.numel() > INPUT_BYTES and min(sides) >= 2 * SMALLEST)

    while kind != "channels" and too_large():
        of = 1 if kind == "events" else None
        flat = torch.nn.functional.avg_pool2d(frames.flatten(0, 1), 2, ceil_mode=True, divisor_override=of)
        frames = flat.view(*frames.shape[:2], *flat.shape[1:])
    return frames


def _merged(frames: torch.Tensor, *, summed: bool) -> torch.Tensor:
    """Pairs of successive frames as one; a last one without a partner stays."""
    pairs = [
        frames[i : i + 2].sum(0) if summed else frames[i : i + 2].mean(0) for i in range(0, len(frames), 2)
    ]
    return torch.stack(pairs)


def _base64(data: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(data).tobytes()).decode("ascii")
