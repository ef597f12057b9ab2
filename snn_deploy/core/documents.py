"""Read YAML documents that strangers write: no code, no aliases, every fault reported together.

Recipes and chip profiles are such documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from snn_deploy.core.errors import ConfigError, Problem, did_you_mean
from snn_deploy.core.strict_yaml import StrictDumper, StrictLoader

MAX_DOCUMENT_BYTES = 1 << 18
"""Read in about 3 s at worst; the largest that ships has 9 kB."""

_SHOWN = 80
"""Characters of a wrong value that a message repeats."""


def parse_yaml(text: bytes | str, origin: str, what: str) -> Any:
    """The plain values of a YAML document; ``what`` names its kind in messages, e.g. ``"recipe"``.

    Raises:
        ConfigError: too large, or not valid YAML.
    """
    if len(text) > MAX_DOCUMENT_BYTES:
        raise ConfigError(f"{origin}: {len(text)} bytes; a {what} has at most {MAX_DOCUMENT_BYTES}.")
    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a SafeLoader subclass
    except RecursionError:
        raise ConfigError(f"{origin}: not valid YAML: lists in lists without end") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # some of the library's own faults leak
        raise ConfigError(f"{origin}: not valid YAML: {error}") from None


def dump_yaml(value: Any) -> str:
    """Plain values as a YAML document that :func:`parse_yaml` reads back as they are."""
    return str(yaml.dump(value, Dumper=StrictDumper, sort_keys=False))


def validation_problems(
    error: ValidationError, model: type[BaseModel], prefix: str = ""
) -> Iterator[Problem]:
    """One :class:`Problem` per fault that pydantic found; unknown keys get a suggestion."""
    for fault in error.errors(include_url=False):
        where = ".".join([*([prefix] if prefix else []), *(str(part) for part in fault["loc"])])
        what = fault["msg"]
        if fault["type"] == "extra_forbidden":
            fields = _fields_at(model, fault["loc"][:-1])
            what = f"unknown key.{did_you_mean(str(fault['loc'][-1]), fields)}"
        elif fault["type"] != "missing" and not isinstance(fault["input"], dict | list):
            what = f"{what} (given: {_shown(fault['input'])})"
        yield Problem(where or "document", what)


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        return "a number of very many digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..., {len(text)} characters"


def _fields_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Field names of the (nested) model found by following ``location`` from ``model``."""
    for key in location:
        field = model.model_fields.get(str(key))
        if field is None:
            continue
        annotation = field.annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if nested:
            model = nested[0]
    return list(model.model_fields)
