"""The text of ``model_float.h`` and ``model_float.c``."""

from __future__ import annotations

import re

from snn_deploy.core.version import __version__
from snn_deploy.export.c.words import comment, rendered, size
from snn_deploy.export.c_float.parts import FloatProgram

_SEVERAL = {"whole_below": "reaches", "whole_below_strictly": "exceeds"}
_READ = re.compile(r"from_(\w+)\[")


def header(program: FloatProgram) -> str:
    """``model_float.h``."""
    return _render("model_float.h.jinja", program)


def source(program: FloatProgram) -> str:
    """``model_float.c``."""
    return _render("model_float.c.jinja", program)


def _render(template: str, program: FloatProgram) -> str:
    nodes, place = program.nodes, {node.name: node.place for node in program.nodes}
    said = " ".join(line for node in nodes for line in node.values.get("statements", ()))
    reads = {
        node.name: [(m[1], place[m[1]]) for term in node.terms if (m := _READ.match(term))] for node in nodes
    }
    return rendered(
        "snn_deploy.export.c_float",
        template,
        title=f"Spiking network, {size(nodes[0].out.shape)} -> {size(nodes[-1].out.shape)}",
        version=__version__,
        program=program,
        reads=reads,
        adds=any(node.kind in {"dense", "conv"} for node in nodes),
        bounds="at_most(" in said,
        several=[(name, less) for name, less in _SEVERAL.items() if f"{name}(" in said],
        comment=comment,
        size=size,
    )
