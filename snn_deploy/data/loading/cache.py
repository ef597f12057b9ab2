"""Frames kept on disk under a key made of everything that determines them.

One safetensors file per key: no pickle, read through a memory map, replaced in one rename. Frames are written
as they are made, so that they need not fit in memory. The file's header holds the key and a SHA-256 of the
content; a file that is damaged or of another key is built again. Two processes that build at once both write
the same bytes, each to a file of its own, and the last rename stands.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from snn_deploy.core.damage import reading
from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.core.files import atomic_path, clear_leftovers
from snn_deploy.core.places import cache_dir as cache_dir

Tensors = dict[str, torch.Tensor]
Put = Callable[[NDArray[np.uint8]], None]
Build = Callable[[Put], Tensors]

FRAMES = "frames"
MAX_MEMORY = 8 << 30
"""Bytes of frames that are kept in memory when no cache file can be written."""

_TYPES = {torch.uint8: "U8", torch.int64: "I64"}
_HEADER_MARGIN = 4096


@dataclass(frozen=True, slots=True)
class Cached:
    """Named tensors and the SHA-256 of their content."""

    tensors: Tensors
    digest: str


def content_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and SHA-256 of the bytes (little-endian machines) of contiguous CPU
    tensors of any dimensions but zero."""
    return _digest(
        {name: (t, hashlib.sha256(t.numpy().reshape(-1).view("u1").data)) for name, t in tensors.items()}
    )


def _digest(content: Mapping[str, tuple[torch.Tensor, Any]]) -> str:
    digest = hashlib.sha256()
    for name, (tensor, bytes_seen) in sorted(content.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} {bytes_seen.hexdigest()}\n".encode())
    return digest.hexdigest()


def cached(folder: Path, name: str, key: Mapping[str, Any], build: Build) -> Cached:
    """What ``build`` makes, read from ``folder`` when it is there undamaged.

    Args:
        folder: where cache files lie; made when needed.
        name: begins the file's name.
        key: JSON-ready values that determine the content: settings, sources, revision of the code.
        build: called with ``put``; hands it blocks ``[n, ...]`` of the uint8 tensor ``frames`` in order, and
            returns the other tensors, uint8 or int64.

    Warns:
        RuntimeWarning: the file was damaged and is built again; or it could not be written: the tensors are
            good, but the next run builds again.

    Raises:
        ConfigError: the file could not be written, and the frames need more than 8 GiB of memory.
    """
    text = json.dumps(key, sort_keys=True, allow_nan=False)
    path = folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"
    try:
        if (found := _read(path, text)) is not None:
            return found
    except (DataError, OSError) as error:
        warnings.warn(f"{error} The data are built again.", RuntimeWarning, stacklevel=2)
    try:
        clear_leftovers(folder)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            writer = _Writer(file, text)
            writer.finish(build(writer.put))
    except OSError as error:
        warnings.warn(
            f"Cannot write the cache file '{path}' ({error}); the data are built again in every run. "
            "Set SNN_DEPLOY_CACHE to a folder with space that can be written.",
            RuntimeWarning,
            stacklevel=2,
        )
        return _in_memory(build)
    made = _read(path, text)
    return made if made is not None else _in_memory(build)


class _Writer:
    """Writes a safetensors file whose first tensor, ``frames``, grows; its header is written last, into room
    kept at the beginning."""

    def __init__(self, file: BinaryIO, key: str) -> None:
        self._file = file
        self._key = key
        self._room = (len(json.dumps(key)) + _HEADER_MARGIN) // 8 * 8
        self._frames = hashlib.sha256()
        self._shape: list[int] = []
        file.seek(8 + self._room)

    def put(self, block: NDArray[np.uint8]) -> None:
        block = np.ascontiguousarray(block)
        self._shape = [len(block) + (self._shape[0] if self._shape else 0), *block.shape[1:]]
        self._frames.update(block.data)
        self._file.write(block.data)

    def finish(self, tensors: Tensors) -> None:
        content: dict[str, tuple[torch.Tensor, Any]] = {}
        header: dict[str, Any] = {}
        at = 0
        if self._shape:
            frames = torch.empty(self._shape, dtype=torch.uint8, device="meta")
            content[FRAMES] = (frames, self._frames)
            at = frames.numel()
            header[FRAMES] = {"dtype": "U8", "shape": self._shape, "data_offsets": [0, at]}
        for name, tensor in tensors.items():
            data = tensor.numpy().reshape(-1).view("u1")
            content[name] = (tensor, hashlib.sha256(data.data))
            self._file.write(data.data)
            place = [at, at + data.size]
            header[name] = {"dtype": _TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": place}
            at += data.size
        header["__metadata__"] = {"key": self._key, "sha256": _digest(content)}
        text = json.dumps(header).encode()
        self._file.seek(0)
        self._file.write(self._room.to_bytes(8, "little") + text.ljust(self._room))


def _in_memory(build: Build) -> Cached:
    blocks: list[torch.Tensor] = []
    held = 0

    def put(block: NDArray[np.uint8]) -> None:
        nonlocal held
        held += block.nbytes
        if held > MAX_MEMORY:
            raise ConfigError(
                f"The frames need more than {MAX_MEMORY >> 30} GiB, and no cache file can be written.",
                hint="Set SNN_DEPLOY_CACHE to a folder with space, or lower timesteps or the frames' size.",
            )
        blocks.append(torch.from_numpy(np.array(block)))

    tensors = build(put)
    if blocks:
        tensors = {FRAMES: torch.cat(blocks), **tensors}
    return Cached(tensors, content_digest(tensors))


def _read(path: Path, key: str) -> Cached | None:
    """Content of a cache file; None when it is absent.

    Raises:
        DataError: it is damaged, or of another key.
    """
    if not path.is_file():
        return None
    with reading(path, "cache file"), safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        if header.get("key") != key:
            raise ValueError("it is not of the key that its name is made of.")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        digest = content_digest(tensors)
        if header.get("sha256") != digest:
            raise ValueError("its content does not have the SHA-256 in its header.")
        return Cached(tensors, digest)
