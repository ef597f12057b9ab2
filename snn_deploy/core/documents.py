"""Read YAML documents that strangers write: no code, no aliases, every fault reported together.

Recipes and chip profiles are such documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from snn_deploy.core.errors import ConfigError, Problem, did_you_mean

MAX_DOCUMENT_BYTES = 1 << 20


class StrictLoader(yaml.SafeLoader):
    """Safe YAML without aliases (they can blow up) and without duplicate keys (they hide values)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.YAMLError(f"aliases are not allowed (line {event.start_mark.line + 1})")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = {str(key) for key in keys if keys.count(key) > 1}
        if repeated:
            line = node.start_mark.line + 1
            raise yaml.YAMLError(f"key given twice: {', '.join(sorted(repeated))} (near line {line})")
        return super().construct_mapping(node, deep)


def parse_yaml(text: bytes | str, origin: str, what: str) -> Any:
    """The plain values of a YAML document; ``what`` names its kind in messages, e.g. ``"recipe"``.

    Raises:
        ConfigError: too large, or not valid YAML.
    """
    if len(text) > MAX_DOCUMENT_BYTES:
        raise ConfigError(f"{origin}: {len(text)} bytes; a {what} has at most {MAX_DOCUMENT_BYTES}.")
    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a SafeLoader subclass
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{origin}: not valid YAML: {error}") from None


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
            what = f"{what} (given: {fault['input']!r})"
        yield Problem(where or "document", what)


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
