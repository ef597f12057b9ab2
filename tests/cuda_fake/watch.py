"""Counts what a piece of work would do on the device: launches, bytes, copies over the bus, waits."""

from __future__ import annotations

import traceback
from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from traffic import UNTOUCHED, name_of, tensors, touched_bytes


class Watch(TorchDispatchMode):
    """Watches every operation while it is the context.

    Attributes:
        launches: operations on the device that launch a kernel, by name.
        bytes: that these read and write, each tensor once an operation.
        copies: between host and device, by the line of ours that asks.
        mixed: operations on tensors of both, which are an error on a device.
        reads: numbers that the host waits for, likewise.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.bytes = 0
        self.copies: Counter[str] = Counter()
        self.mixed: Counter[str] = Counter()
        self.reads: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = name_of(func)
        if name in {"_local_scalar_dense", "item"}:
            if args[0].device.type == "cuda":
                self.reads[_place()] += 1
            return _one(args[0].dtype)
        if name.startswith("_fused_"):  # the update of all weights, in place; torch has no fake of it
            self.launches[name] += 1
            self.bytes += sum(map(touched_bytes, tensors(args)))
            return None
        out = func(*args, **(kwargs or {}))
        given, made = (tensors(part) for part in ((args, kwargs), out))
        devices = {t.device.type for t in (*given, *made)}
        if "cuda" not in devices:
            return out
        if "cpu" in devices:
            self._both(name, given)
        same = not name.endswith("_") and any(m is g for m in made for g in given)
        if name not in UNTOUCHED and not same:
            self.launches[name] += 1
            self.bytes += sum(touched_bytes(t) for t in (*given, *made) if t.device.type == "cuda")
        return out

    def _both(self, name: str, given: list[torch.Tensor]) -> None:
        if name in {"_to_copy", "copy_", "to", "cpu"}:
            self.copies[_place()] += 1
        elif any(t.device.type == "cpu" and t.dim() for t in given):
            self.mixed[f"{name} at {_place()}"] += 1


def _one(dtype: torch.dtype) -> bool | float | int:
    """What stands for a number that is read."""
    return True if dtype == torch.bool else 1.0 if dtype.is_floating_point else 1


def _place() -> str:
    """The line of ours that is at work."""
    for frame in reversed(traceback.extract_stack()):
        if "/snn_deploy/" in frame.filename:
            return f"{frame.filename.split('/snn_deploy/')[-1]}:{frame.lineno}"
    return "?"
