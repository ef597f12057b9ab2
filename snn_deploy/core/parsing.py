"""One guard around every parser of data that strangers wrote, for messages that complete a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from snn_deploy.core.errors import DataError, SnnDeployError

_MAX_REASON = 200


@contextmanager
def named_damage(what: str, *, unreadable: str = "cannot be read") -> Iterator[None]:
    """Whatever a parser raises becomes ``what`` and the parser's reason, or ``unreadable`` where the system
    gives no file or no content; our own errors stay as they are.

    Raises:
        DataError: instead of any other exception.
    """
    try:
        yield
    except SnnDeployError:
        raise
    except OSError as error:
        refused = error.errno is not None
        text = f"{unreadable}: {error.strerror}" if refused else f"{what}: {_reason(error)}"
        raise DataError(text) from None
    except Exception as error:  # noqa: BLE001 - parsers of strangers' files raise anything
        raise DataError(f"{what}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """The first line of an error's text, and its kind where that is no sentence."""
    text = str(error.args[0] if error.args else "").partition("\n")[0].strip().rstrip(".")[:_MAX_REASON]
    return text if " " in text else f"{type(error).__name__} {text}".strip()
