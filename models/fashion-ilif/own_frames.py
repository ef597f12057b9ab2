"""What a bundle's scripts are given: frames of your own, or example.npz; or a line that says what is wrong.

The input contract, `input` in manifest.json, says what the frames must be; README.md says it in words.
"""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
BROKEN = (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile)
SLACK = 1e-4  # of a rounded, normalised pixel


def fail(name, what):
    """End with a line."""
    raise SystemExit(f"FAIL {name}: {what}".partition("\n")[0])


def read_array(path, key="x"):
    """The array of a .npy file, or `key` of a .npz file."""
    try:
        with Path(path).open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content
            if key in content:
                return content[key]
            return fail(path, f"holds no array '{key}'")
    except FileNotFoundError:
        return fail(path, "there is no such file")
    except BROKEN as error:
        return fail(path, f"cannot be read as an array of numbers: {error}")


def read_example(*names):
    """The arrays `names` of example.npz; those that are not there are None."""
    path = HERE / "example.npz"
    try:
        with np.load(path, allow_pickle=False) as content:
            return [content.get(name) for name in names]
    except FileNotFoundError:
        fail(path.name, "there is no such file")
    except BROKEN as error:
        fail(path.name, f"is damaged: {error!r}")


def read_contract(part="input"):
    """`input`, or another part, of manifest.json, or nothing where there is none."""
    try:
        return json.loads((HERE / "manifest.json").read_text())[part]
    except BROKEN:
        return {}


def decisions(outputs, decode, classes):
    """A line per sample of `outputs [T, samples, ...]`: its class and scores, had it been stopped after the
    step with which the bundle's early exit ends it; see README.md."""
    flat = outputs.reshape(*outputs.shape[:2], -1).astype(float)
    steps = np.arange(1, len(flat) + 1)[:, None, None]
    scores = flat.cumsum(0) / steps if decode == "mean" else flat
    ends = np.full(flat.shape[1], len(flat) - 1)
    rule = read_contract("exit")
    if rule:
        scaled = rule["scale"] * scores * (steps / len(flat) if decode == "mean" else 1.0)
        sure = 1 / np.exp(scaled - scaled.max(-1, keepdims=True)).sum(-1) >= rule["at"]
        sure[-1] = True
        ends = sure.argmax(0)
    for sample, end in enumerate(ends):
        row = scores[end, sample]
        best = int(row.argmax())
        label = classes[best] if best < len(classes) else best
        after = f" (after {end + 1} of {len(flat)} steps)" if rule else ""
        yield f"{label}: {' '.join(f'{value:.4g}' for value in row)}{after}"


def read_frames(path, shape):
    """Frames `[T, samples, *shape]` of a .npy file, or `x` of a .npz file, as the contract wants them."""
    frames, shape, contract = read_array(path), tuple(shape), read_contract()
    if frames.dtype.kind not in "biuf":
        fail(path, f"holds {frames.dtype} values; numbers are due")
    _check_shape(path, frames, shape, contract.get("timesteps"))
    if not np.isfinite(frames).all():
        fail(path, f"{int((~np.isfinite(frames)).sum())} entries are not finite")
    if contract:
        _check_values(path, frames, contract["values"])
    return frames.astype(np.float32)


def _check_shape(path, frames, shape, steps):
    due = f"[T, samples, {', '.join(map(str, shape))}]"
    if frames.ndim != len(shape) + 2 or frames.shape[2:] != shape:
        way = ""
        if frames.shape[1:] == shape:
            way = "; add the axis of samples: frames[:, None]"
        elif frames.shape[2:] == (*shape[1:], *shape[:1]):
            way = "; channels come first: numpy.moveaxis(frames, -1, 2)"
        fail(path, f"has shape {list(frames.shape)}; due is {due}{way}")
    if 0 in frames.shape[:2]:
        fail(
            path, f"holds {frames.shape[1]} samples of {frames.shape[0]} frames; at least one of each is due"
        )
    if steps is not None and frames.shape[0] != steps:
        if frames.shape[1] == steps:
            fail(
                path,
                f"has shape {list(frames.shape)}; due is {due}, T = {steps}: frames.swapaxes(0, 1)",
            )
        print(f"note: {frames.shape[0]} frames a sample; the network is made for {steps}", file=sys.stderr)


def _check_values(path, frames, values):
    low, high = float(frames.min()), float(frames.max())
    kind, due = values["kind"], f"{values['low']:.4g} to {values['high']:.4g}"
    whole = bool((frames == np.rint(frames)).all())
    inside = values["low"] - SLACK <= low and high <= values["high"] + SLACK
    if inside and (whole or kind == "real"):
        return
    found = f"entries from {low:.4g} to {high:.4g}" + ("" if whole or kind == "real" else ", not all whole")
    if values["stated"]:
        what = {"binary": "0 or 1", "counts": f"whole numbers, {due}", "real": due}[kind]
        fail(path, f"has {found}; due are {what} (see Input in README.md)")
    print(f"note: {found}; the samples of the proof had {due}", file=sys.stderr)
