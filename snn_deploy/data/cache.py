"""Arrays kept on disk under a key made of everything that determines them.

One safetensors file per key: no pickle, can be memory-mapped, replaced in one rename. Its header holds the
key and a SHA-256 of the content; a file that is damaged or of another key is built again. Two processes
that build at once both write the same bytes, each to a file of its own, and the last rename stands.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from snn_deploy.files import atomic_path

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Cached:
    """Named tensors and the SHA-256 of their content."""

    tensors: Tensors
    digest: str


def cache_dir() -> Path:
    """``$SNN_DEPLOY_CACHE``, or ``snn-deploy`` in the platform's folder for a user's cached files."""
    if own := os.environ.get("SNN_DEPLOY_CACHE"):
        return Path(own).expanduser()
    if sys.platform == "darwin":
        base = "~/Library/Caches"
    elif sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "snn-deploy"


def content_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes (little-endian machines) of contiguous CPU tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name].numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view("u1").data)
    return digest.hexdigest()


def cached(folder: Path, name: str, key: Mapping[str, Any], build: Callable[[], Tensors]) -> Cached:
    """The tensors that ``build`` makes, read from ``folder`` when they are there undamaged.

    Args:
        folder: where cache files lie; made when needed.
        name: begins the file's name.
        key: JSON-ready values that determine the content: settings, sources, revision of the code.
        build: makes the tensors (contiguous, on the CPU).

    Warns:
        RuntimeWarning: the file could not be written; the tensors are good, but the next run builds again.
    """
    text = json.dumps(key, sort_keys=True, allow_nan=False)
    path = folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"
    found = _read(path, text)
    if found is not None:
        return found
    tensors = build()
    made = Cached(tensors, content_digest(tensors))
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={"key": text, "sha256": made.digest})
    except (OSError, SafetensorError) as error:
        warnings.warn(
            f"Cannot write the cache file '{path}' ({error}); the data are built again in every run. "
            "Set SNN_DEPLOY_CACHE to a folder with space that can be written.",
            RuntimeWarning,
            stacklevel=2,
        )
    return made


def _read(path: Path, key: str) -> Cached | None:
    """Content of a cache file; None when it is absent, damaged, or of another key."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("key") != key:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    digest = content_digest(tensors)
    return Cached(tensors, digest) if header.get("sha256") == digest else None
