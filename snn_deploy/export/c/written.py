"""Whether the C code of a bundle is what this version writes: only then it is compiled unasked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from snn_deploy.core.errors import DataError, UnsupportedError


def read_sources(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The texts of C files, by name.

    Raises:
        DataError: a file is missing or no ASCII text.
    """
    texts = {}
    for name in names:
        try:
            texts[name] = (folder / name).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"'{folder / name}' cannot be read: {error}") from None
    return texts


def require_as_written(
    folder: Path, found: Mapping[str, str], due: Mapping[str, str], *, network: str, kit: str
) -> None:
    """Refuse files of ``folder`` whose texts are not those ``due`` for the ``network`` beside them; ``kit``
    is the script with which their owner may compile them.

    Raises:
        UnsupportedError: naming the first that differs.
    """
    for name, text in due.items():
        if found[name] != text:
            raise UnsupportedError(
                f"'{folder / name}' is not what this version of snn-deploy writes of '{network}'.",
                hint=f"Code from elsewhere is not compiled unasked: run {kit} yourself, or export again.",
            )
