"""The options of a component for people: what each takes and means, read where it is written.

Meanings are the ``Attributes`` section of the class or the ``description`` of a field, values those of its
JSON schema: nothing is said twice.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_ENTRY = re.compile(r" {4}(?P<names>\w+(?:, \w+)*): (?P<text>.+)")
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
}
_TYPES = {
    "boolean": "true | false",
    "integer": "integer",
    "number": "number",
    "string": "text",
    "null": "null",
}


class OptionRow(NamedTuple):
    """An option: dotted ``name`` (``blocks[].kernel`` is of each item of a list), what ``values`` it takes,
    its ``default`` and its ``meaning``."""

    name: str
    values: str
    default: str
    meaning: str


def option_rows(model: type[BaseModel], prefix: str = "") -> Iterator[OptionRow]:
    """Every option of ``model``, and below it those of the models that it holds."""
    schemas, said = model.model_json_schema()["properties"] if model.model_fields else {}, meanings(model)
    for name, info in model.model_fields.items():
        yield OptionRow(
            prefix + name, _values(schemas[name]), _default(info), said.get(name) or info.description or ""
        )
        for inner, suffix in _models(info.annotation):
            yield from option_rows(inner, f"{prefix}{name}{suffix}.")


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """The sentence of each field of ``model`` that has one, those of its bases included.

    A field that a subclass describes again has the words of the subclass.
    """
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found |= _attributes(base.__dict__.get("__doc__") or "")
    return {name: text.replace("``", "'") for name, text in found.items() if name in model.model_fields}


def _attributes(doc: str) -> dict[str, str]:
    lines = inspect.cleandoc(doc).splitlines()
    if "Attributes:" not in lines:
        return {}
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines[lines.index("Attributes:") + 1 :]:
        if line and not line.startswith("    "):
            break
        if entry := _ENTRY.fullmatch(line):
            names = entry["names"].split(", ")
            found |= dict.fromkeys(names, entry["text"])
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def _models(annotation: object, suffix: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """The models inside a type, each with ``[]`` if it is the item of a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, suffix
    for part in get_args(annotation):
        yield from _models(part, "[]" if getattr(annotation, "__origin__", None) is tuple else suffix)


def _values(schema: Mapping[str, Any]) -> str:
    """What a JSON schema admits, in words."""
    if alternatives := schema.get("anyOf"):
        return " | ".join(_values(one) for one in alternatives)
    if "enum" in schema or "const" in schema:
        return " | ".join(str(value) for value in schema.get("enum", [schema.get("const")]))
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}: {_values(schema['prefixItems'][0])}"
    if schema.get("type") == "array":
        return f"list: {_values(schema['items'])}"
    if schema.get("type") == "object":
        return "mapping"
    if "$ref" in schema or "allOf" in schema:
        return "options below"
    if schema.get("format") == "path":
        return "path"
    bounds = [words.format(schema[key]) for key, words in _BOUNDS.items() if key in schema]
    return ", ".join([_TYPES[schema["type"]], *bounds])


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "(required)"
    value = info.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "as below"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(str(item) for item in value)}]"
    return str(value)
