"""Read files that may be damaged: whatever is wrong with one ends as one error that names it.

A document of ours is JSON with a schema. It is refused when it is larger than such a document can be, not
JSON, says a key twice, holds NaN or infinity, or does not keep to its schema.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from snn_deploy.core.documents import validation_problems
from snn_deploy.core.errors import DataError, Problem, SnnDeployError

MAX_BYTES = 256 << 20
"""Of a document. Our choice."""

Model = TypeVar("Model", bound=BaseModel)

Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Document(BaseModel):
    """Immutable part of a document. Keys that a later version may have added are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, protected_namespaces=())


@contextlib.contextmanager
def reading(path: Path, what: str, *, hint: str | None = None) -> Iterator[None]:
    """Turn whatever reading ``path`` raises into one :class:`DataError`; ``what`` names its kind.

    Parsers raise anything on bytes that nobody wrote for them, so that every exception counts as damage;
    errors raised on purpose and those of the disk that name a file pass.
    """
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"There is no {what} '{path}'.", hint=hint) from None
    except SnnDeployError:
        raise
    except ValidationError as error:
        problems = list(validation_problems(error, BaseModel))
        raise DataError(f"The {what} '{path}' is damaged.", problems=problems, hint=hint) from None
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise DataError(f"The {what} '{path}' is damaged: {_reason(error)}", hint=hint) from None


def read_json(path: Path, model: type[Model], what: str, *, hint: str | None = None) -> Model:
    """The document at ``path``.

    Raises:
        DataError: missing or damaged.
    """
    with reading(path, what, hint=hint):
        data = read_bytes(path)
        plain_json(data)
        return model.model_validate_json(data)


def read_sealed(
    path: Path, model: type[Model], what: str, *, hint: str | None = None
) -> tuple[Model, dict[str, Any]]:
    """The document at ``path``, which is the one that was written, and its values as they stand there.

    Raises:
        DataError: missing or damaged, or its ``sha256`` is not that of the rest.
    """
    with reading(path, what, hint=hint):
        data = read_bytes(path)
        content: dict[str, Any] = plain_json(data)
        document = model.model_validate_json(data)
    require_sealed(content, path, what, hint=hint)
    return document, content


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """Content of a file of at most ``most`` bytes.

    Raises:
        DataError: it has more.
    """
    if (size := path.stat().st_size) > most:
        raise DataError(f"'{path}' has {size} bytes; at most {most} are read.")
    return path.read_bytes()


def plain_json(data: bytes) -> Any:
    """Values of a JSON text in UTF-8.

    Raises:
        ValueError, RecursionError: not JSON, a key twice, or a number that is not finite.
    """
    return json.loads(data, object_pairs_hook=_once, parse_constant=_refused, parse_float=_finite)


def seal(content: dict[str, Any]) -> str:
    """SHA-256 of a document, as canonical JSON without the key ``sha256`` at its top, which keeps it."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, allow_nan=False).encode()).hexdigest()


def require_sealed(content: dict[str, Any], path: Path, what: str, *, hint: str | None = None) -> None:
    """Check that a document is the one that was written.

    Raises:
        DataError: its ``sha256`` is not that of the rest.
    """
    if content.get("sha256") != seal(content):
        problem = Problem("sha256", "is not that of the rest of the document", "nothing in it is changed")
        raise DataError(f"The {what} '{path}' is damaged.", problems=[problem], hint=hint)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key is given twice")
    return content


def _refused(word: str) -> float:
    raise ValueError(f"{word} is not a number of JSON")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{text[:200] or type(error).__name__}"
