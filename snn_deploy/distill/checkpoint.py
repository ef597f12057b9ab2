"""Trainer state on disk: one file, written atomically, loadable without running any code in it.

It is a torch file (a zip archive) whose comment is the SHA-256 of everything before the comment. So any
reader of torch files reads it, and a byte that changed anywhere is found before anything of it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator
from io import BufferedRandom
from pathlib import Path
from typing import Any

import torch

from snn_deploy.core.damage import reading
from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.core.files import atomic_path
from snn_deploy.processes.world import ALONE, World

VERSION = 3

_SEAL = 64
"""Bytes of a comment: a SHA-256 in hexadecimal."""
_NO_COMMENT = bytes(2)
"""How a zip archive without a comment ends: with the comment's length."""
_HINT = "Delete it to train from the beginning, or put an earlier copy back."


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` (tensors and plain values only) to ``path`` atomically.

    Raises:
        OSError: there is no room for it; what was at ``path`` still is.
    """
    with atomic_path(path) as temporary, temporary.open("w+b") as file:
        torch.save({"version": VERSION, **content}, file)
        _seal(file)


def load_checkpoint(path: Path, identity: str, world: World = ALONE) -> dict[str, Any] | None:
    """The content of the checkpoint at ``path`` on the CPU, or None when there is none.

    Leftovers of a write that was killed are removed. Of several processes the first reads the file, which
    need not be within reach of the others.

    Args:
        path: the checkpoint.
        identity: what was trained on what; must equal the checkpoint's ``identity``.
        world: the processes that want the content.

    Raises:
        DataError: the file is damaged or of another version.
        ConfigError: it belongs to another run.
    """
    found: list[dict[str, Any] | None] = []
    world.told(lambda: found.append(_read(path, identity)))
    data = path.read_bytes() if world.size > 1 and world.first and found[0] is not None else None
    data = world.bytes_of_first(data)
    if world.first:
        return found[0]
    if data is None:
        return None
    content: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return content


def _read(path: Path, identity: str) -> dict[str, Any] | None:
    for leftover in path.parent.glob(f".{path.name}.*"):
        leftover.unlink()
    if not path.exists():
        return None
    with reading(path, "checkpoint", hint=_HINT):
        _require_sealed(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise DataError(f"'{path}' is not a checkpoint of version {VERSION}.")
    if content.get("identity") != identity:
        raise ConfigError(
            f"The checkpoint '{path}' was made with other data or another recipe.",
            hint="Resume with the recipe and data of that run, or start a new one.",
        )
    return content


def _seal(file: BufferedRandom) -> None:
    """Append the digest of what is in ``file``, as the comment of the archive that it holds."""
    file.seek(-len(_NO_COMMENT), io.SEEK_END)
    file.write(_SEAL.to_bytes(2, "little"))
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0, io.SEEK_END)
    file.write(digest.encode())


def _require_sealed(path: Path) -> None:
    digest, left = hashlib.sha256(), path.stat().st_size - _SEAL
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
        if left or file.read() != digest.hexdigest().encode():
            raise DataError(
                f"The checkpoint '{path}' is damaged, or not a checkpoint of version {VERSION}: "
                "its bytes do not have the SHA-256 at its end.",
                hint=_HINT,
            )


@contextlib.contextmanager
def putting_back(path: Path) -> Iterator[None]:
    """Say of a state in ``path`` that does not fit what was built that the checkpoint is damaged."""
    with reading(path, "checkpoint", hint=_HINT):
        yield


def rng_state(device: torch.device) -> dict[str, Any]:
    """States of torch's global random number generators, on the CPU and, if that is another one, ``device``.
    Asking all devices would open each of them, which takes memory there."""
    cuda = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_rng_state(state: dict[str, Any], device: torch.device) -> None:
    """Undo of :func:`rng_state`; what was saved of a CUDA device is for a CUDA device only."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"][0], device)
