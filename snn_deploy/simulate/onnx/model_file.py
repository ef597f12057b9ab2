"""ONNX files that nobody vouches for: checked once, and read again whenever their model is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from snn_deploy.core.errors import DataError
from snn_deploy.simulate.onnx.bounds import check_operators, check_sizes

MAX_FILE_BYTES = 2**31


def read_bounded(path: Path, at_most: int) -> bytes:
    """The bytes of an ONNX file.

    Raises:
        DataError: it is missing, or has more than ``at_most`` bytes.
    """
    if not path.is_file():
        raise DataError(f"There is no ONNX file at '{path}'.")
    if path.stat().st_size > at_most:
        raise DataError(f"'{path}' is larger than {at_most} bytes.")
    return path.read_bytes()


@contextmanager
def sound(path: Path) -> Iterator[None]:
    """What protobuf and ONNX raise while ``path`` is parsed and checked becomes one error.

    Raises:
        DataError: instead, with the first line of theirs.
    """
    try:
        yield
    except (
        DecodeError,
        onnx.checker.ValidationError,
        ValueError,
        TypeError,
        KeyError,
        RuntimeError,
    ) as error:
        text = str(error).strip().partition("\n")[0]
        raise DataError(f"'{path}' is not a sound ONNX file: {text}") from None


class ModelFile:
    """A file whose content does not stay in memory, since weights are large.

    Raises:
        DataError: it is missing, too large, damaged, or holds what our files do not hold
            (:mod:`snn_deploy.simulate.onnx.bounds`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sha256 = ""

    def checked(self) -> onnx.ModelProto:
        """The model, checked; what is read later must be the same."""
        content = read_bounded(self.path, MAX_FILE_BYTES)
        self._sha256 = hashlib.sha256(content).hexdigest()
        with sound(self.path):
            check_operators(onnx.load_model_from_string(content), str(self.path))
            onnx.checker.check_model(content)  # of bytes, as below: of a model it makes them once more
        check_sizes(content, str(self.path))
        return onnx.load_model_from_string(content)

    def content(self) -> bytes:
        """The bytes of the file.

        Raises:
            DataError: it has gone, or is another one than was checked.
        """
        content = read_bounded(self.path, MAX_FILE_BYTES)
        if hashlib.sha256(content).hexdigest() != self._sha256:
            raise DataError(
                f"'{self.path}' was changed after it had been opened.", hint="Open it again, and let it be."
            )
        return content

    def model(self) -> onnx.ModelProto:
        """The model, read anew; it may be changed. Raises as :meth:`content`."""
        return onnx.load_model_from_string(self.content())
