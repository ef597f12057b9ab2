"""YAML as far as strangers may use it: plain values by the core schema of YAML 1.2, each key once.

Anchors and aliases (they can blow up), tags (they call constructors) and repeated keys (they hide values) are
refused. ``true`` and ``false`` are the only booleans: ``on``, ``off``, ``yes`` and ``no`` are words, which
YAML 1.1 took for booleans. Dates, sexagesimals (``1:30``), ``0`` for octal and merge keys (``<<``) are 1.1's
too, and text here. https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from typing import Any

import yaml

MAX_BITS = 63
"""Of a whole number; our choice: what every library takes."""

_TAG = "tag:yaml.org,2002:"
_SCALARS = (
    ("null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")),
    ("int", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), list("-+0123456789")),
    (
        "float",
        re.compile(
            r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
        ),
        list("-+0123456789."),
    ),
)
_BASES = {"0o": 8, "0x": 16}


class StrictLoader(yaml.SafeLoader):
    """Reads documents of strangers; see the module's text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.events.AliasEvent) or event.anchor is not None:
            raise fault("anchors and aliases are not allowed", event)
        if event.tag is not None:
            raise fault(f"the tag '{event.tag}' is not allowed", event)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        content: dict[Any, Any] = {}
        repeated: list[str] = []
        for key_node, value in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise fault("a key is a list or mapping, not text", key_node)
            key = self.construct_object(key_node)
            if key in content:
                repeated.append(str(key))
            content[key] = self.construct_object(value, deep=deep)
        if repeated:
            raise fault(f"key given twice: {', '.join(sorted(set(repeated)))}", node, near=True)
        return content

    def number(self, node: Any) -> int:
        """A whole number; refused when it needs more than :data:`MAX_BITS` bits."""
        text = node.value
        value = int(text, _BASES.get(text[:2], 10)) if len(text) <= MAX_BITS + 2 else None
        if value is None or value.bit_length() > MAX_BITS:
            raise fault(f"a whole number of {len(text)} digits; the limit is {MAX_BITS} bits", node)
        return value

    def real(self, node: Any) -> float:
        """A number with fraction or exponent; its word for infinity has a dot before it in YAML."""
        sign = -1.0 if node.value.startswith("-") else 1.0
        return sign * float(node.value.lower().lstrip("+-").replace(".inf", "inf").replace(".nan", "nan"))

    def text(self, node: Any) -> str:
        """Text; halves of a character (``"\\ud800"``), which no file can hold, are refused."""
        value = str(node.value)
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise fault("half of a character (a lone surrogate)", node)
        return value

    def boolean(self, node: Any) -> bool:
        """``true`` or ``false``."""
        return str(node.value).lower() == "true"


class StrictDumper(yaml.SafeDumper):
    """Writes documents that mean the same by YAML 1.1 and by :class:`StrictLoader`: text that either takes
    for something else is quoted."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def fault(what: str, at: Any, *, near: bool = False) -> yaml.YAMLError:
    """What is wrong, and the line of the event or node ``at``."""
    return yaml.YAMLError(f"{what} ({'near ' if near else ''}line {at.start_mark.line + 1})")


for _name, _pattern, _first in _SCALARS:
    for _loads in (StrictLoader, StrictDumper):
        _loads.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern.pattern})$"), _first)
for _name, _constructor in (
    ("int", StrictLoader.number),
    ("float", StrictLoader.real),
    ("str", StrictLoader.text),
    ("bool", StrictLoader.boolean),
):
    StrictLoader.add_constructor(_TAG + _name, _constructor)
