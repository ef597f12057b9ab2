"""The text at the beginning of AEDAT files of any version."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from snn_deploy.core.errors import DataError

MAX_LINE = 1 << 16
MAX_LINES = 10_000

_MAGIC = b"#!AER-DAT"
_ENDS = (b"#End Of ASCII Header", b"#!END-HEADER")


def read_version(file: BinaryIO) -> str:
    """The version that the first line states, such as ``2.0``; the file is then behind that line.

    Raises:
        DataError: it is no AEDAT file.
    """
    line = file.readline(MAX_LINE)
    if not line.startswith(_MAGIC) or not line.endswith(b"\n"):
        raise DataError(f"it does not begin with '{_MAGIC.decode()}'")
    return line[len(_MAGIC) :].strip().decode("ascii", "replace")


def require_version(file: BinaryIO, wanted: str) -> None:
    """Read the first line.

    Raises:
        DataError: it is no AEDAT file of the version that is ``wanted``.
    """
    if (version := read_version(file)) != wanted:
        raise DataError(f"it is AEDAT {version}, not {wanted}")


def skip_header(file: BinaryIO) -> None:
    """Go behind the lines that begin with ``#``: to the end mark, or to what begins otherwise.

    Raises:
        DataError: a line or the header has no end.
    """
    for _ in range(MAX_LINES):
        position = file.tell()
        line = file.readline(MAX_LINE)
        if not line.startswith(b"#"):
            file.seek(position)
            return
        if not line.endswith(b"\n"):
            raise DataError("its text header has no end")
        if line.startswith(_ENDS):
            return
    raise DataError(f"its text header has more than {MAX_LINES} lines")


def version_of(path: Path) -> str:
    """The version of an AEDAT file; see :func:`read_version`."""
    with path.open("rb") as file:
        return read_version(file)
