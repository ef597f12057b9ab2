"""The file that a session is kept in: its arrays, and a head of four numbers."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from snn_deploy.core.errors import DataError
from snn_deploy.core.files import atomic_path
from snn_deploy.simulate.stepping import Saved

STATE_VERSION = 1
MAX_STATE_BYTES = 1 << 30


def write_state(path: Path, arrays: Saved, numbers: dict[str, int]) -> None:
    """Write ``arrays`` and the ``numbers`` sample, step and events."""
    head = json.dumps({"version": STATE_VERSION, **numbers}).encode()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, head=np.frombuffer(head, np.uint8))


def read_state(path: Path) -> tuple[Saved, dict[str, int]]:
    """What :func:`write_state` wrote.

    Raises:
        DataError: missing, damaged, or of another version.
    """
    arrays = _arrays(path)
    return arrays, _head(arrays.pop("head", None), path)


def _arrays(path: Path) -> Saved:
    try:
        if path.stat().st_size > MAX_STATE_BYTES:
            raise DataError(f"'{path}' has more than {MAX_STATE_BYTES} bytes.")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return dict(content)
    except FileNotFoundError:
        raise DataError(f"There is no saved state at '{path}'.") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"'{path}' cannot be read as the state of a session: {error}") from None


def _head(content: npt.NDArray[np.generic] | None, path: Path) -> dict[str, int]:
    try:
        head = json.loads(bytes(np.asarray(content, np.uint8)))
        numbers = {name: int(head[name]) for name in ("version", "sample", "step", "events")}
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"'{path}' cannot be read as the state of a session: {error}") from None
    if numbers["version"] != STATE_VERSION or min(numbers.values()) < 0:
        raise DataError(f"'{path}' is a state of version {numbers['version']}; this reads {STATE_VERSION}.")
    return numbers
