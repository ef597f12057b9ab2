"""What a manifest must hold for anybody to rely on it."""

from __future__ import annotations

from math import isfinite
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter

from snn_deploy.core.contract import Contract, words
from snn_deploy.core.damage import Document, Finite, Sha256
from snn_deploy.core.early_exit import ChosenExit, ExitRule
from snn_deploy.core.errors import ConfigError
from snn_deploy.export.parity import Parity

MANIFEST_VERSION = 1


def _inside(name: str) -> str:
    """A path that stays in the bundle."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or str(path) != name or "\\" in name:
        raise ValueError("not the path of a file in the bundle")
    return name


def _sound(row: Parity) -> Parity:
    """Counts are not negative and fit 63 bits; an accuracy is a fraction of at least one sample."""
    accuracies = [a for a in (row.accuracy, row.accuracy_reference) if a is not None]
    if not all(0 <= accuracy <= 1 for accuracy in accuracies) or (accuracies and row.samples < 1):
        raise ValueError("an accuracy is the fraction of samples that are right")
    if any(not 0 <= count < 2**63 for counted in (row, *row.layers) for count in _counts(counted)):
        raise ValueError("a count is not negative")
    return row


def _worded(contract: Contract) -> Contract:
    """The words say what the data say."""
    values = contract.values
    if not all(map(isfinite, (values.low, values.high))) or tuple(words(contract)) != contract.words:
        raise ValueError("the words are not those of the data")
    return contract


def _reachable(stated: ChosenExit) -> ChosenExit:
    """A threshold that some confidence reaches; of one that was chosen, with what it gave."""
    try:
        ExitRule(stated.at, stated.scale)
    except ConfigError as error:
        raise ValueError(error.message) from None
    shares = [value for value in (stated.accuracy, stated.accuracy_at_end) if value is not None]
    steps = [value for value in (stated.mean_steps,) if value is not None and isfinite(value)]
    if not all(0 <= share <= 1 for share in shares) or stated.samples < 0:
        raise ValueError("an accuracy is a fraction, a number of samples not negative")
    if stated.chosen == "validation" and (len(shares) < 2 or not steps):
        raise ValueError("a threshold that was chosen comes with what it gave")
    return stated


def _counts(counted: Any) -> list[int]:
    values = [getattr(counted, name) for name in counted.__dataclass_fields__]
    return [value for value in values if isinstance(value, int)]


FileName = Annotated[str, AfterValidator(_inside)]
Size = Annotated[int, Field(ge=1, lt=2**31)]
Row = Annotated[Parity, AfterValidator(_sound)]

PARITIES: TypeAdapter[tuple[Parity, ...]] = TypeAdapter(tuple[Row, ...])


class Format(Document):
    """What was written in one format: its files by role, and how."""

    files: dict[str, FileName] = Field(min_length=1)
    passes: tuple[dict[str, Any], ...]
    approximations: tuple[str, ...]
    tables: dict[str, tuple[dict[str, Any], ...]]


class DiscreteTime(Document):
    """The discrete-time semantics of the network."""

    dt: Annotated[Finite, Field(gt=0)]
    integrator: str
    fires_at: str
    reset: str
    decode: str
    assumed: tuple[str, ...]


class Tolerance(Document):
    """What was allowed; see :class:`snn_deploy.export.proof.judge.Limits`."""

    rounding_unit: Finite
    max_accuracy_drop: Finite
    max_changed_decisions: Finite
    min_spike_correlation: Finite
    min_output_correlation: Finite


class Manifest(Document):
    """``manifest.json`` of a bundle; ``sha256`` has every other file, by its path in the bundle."""

    version: Literal[1]
    name: str
    snn_deploy: str
    verdict: str
    reason: str
    provenance: dict[str, Any]
    input: Annotated[Contract, AfterValidator(_worded)]
    input_shape: tuple[Size, ...]
    output_shape: tuple[Size, ...]
    timesteps: Size
    classes: tuple[str, ...]
    semantics: DiscreteTime
    exit: Annotated[ChosenExit, AfterValidator(_reachable)] | None = None
    tolerance: Tolerance
    formats: dict[str, Format]
    parity: tuple[Row, ...]
    sha256: dict[FileName, Sha256] = Field(min_length=1)
