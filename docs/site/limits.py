"""The page of limits, made from the refusals in the code: rules of chips, what readers and writers refuse.

A refusal is a ``Problem`` with a rule, as it stands in the source; what is only known when it happens is
shown as an ellipsis.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

from snn_deploy.core.text import markdown
from snn_deploy.hardware.constraints import CONSTRAINTS

CODE = Path(__file__).resolve().parents[2] / "snn_deploy"
ROOMS: dict[str, Sequence[str]] = {
    "Reading modules and files": ["graph/readers", "graph/passes/fold_batchnorm.py"],
    "Any graph": ["graph/plan.py", "graph/loops.py"],
    "NIR for one reader": ["graph/passes/for_readers", "export/nir.py"],
    "ONNX": ["export/onnx.py", "export/onnx_int8.py", "export/onnx_models.py"],
    "Lava and integer C": [
        "graph/passes/to_chip/loihi.py", "graph/passes/to_chip/levels.py", "graph/passes/to_chip/blocks.py",
        "graph/passes/to_chip/terms.py", "graph/passes/quantize/rounding_errors.py", "graph/lava/rules.py",
        "export/lava.py", "export/c",
    ],
    "C in real numbers": ["export/c_float"],
}  # fmt: skip
"""Files or folders of the package behind each table."""
_NAMES = ("where", "what", "rule", "source", "try_instead")
_OPEN = "…"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill the page in."""
    return f"{markdown}\n\n{content()}" if page.file.src_uri == "limits.md" else markdown


def content() -> str:
    """All tables."""
    parts = ["## Rules of chips", "| rule | asked as | try |\n| --- | --- | --- |\n" + "\n".join(_rules())]
    for title, places in ROOMS.items():
        rows = sorted({row for place in places for row in refusals(CODE / place)})
        lines = [f"| {what} | {rule} | {way} |" for what, rule, way in rows]
        if lines:
            parts += [f"## {title}", "| refused | rule | try |\n| --- | --- | --- |\n" + "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _rules() -> Iterator[str]:
    for rule in sorted(CONSTRAINTS, key=lambda rule: rule.field):
        way = rule.try_instead if isinstance(rule.try_instead, str) else ""
        yield f"| {_cell(rule.sentence)} | `{rule.field}`, {rule.verb} | {_cell(way)} |"


def refusals(place: Path) -> Iterator[tuple[str, str, str]]:
    """Every ``Problem`` with words and a rule in a file or folder: what, rule, and what to try."""
    for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        tree = ast.parse(file.read_text())
        known = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
                given = dict(zip(_NAMES, node.args, strict=False)) | {
                    k.arg or "": k.value for k in node.keywords
                }
                what, rule, _source, way = (words(given.get(name), known) for name in _NAMES[1:])
                if _says(what) and _says(rule):
                    yield _cell(what), _cell(rule), _cell(way)


def words(node: ast.expr | None, known: Mapping[str, ast.expr]) -> str:
    """The text of an expression; what it only has when it runs as an ellipsis."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_OPEN if isinstance(v, ast.FormattedValue) else words(v, known) for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return words(node.left, known) + words(node.right, known)
    if isinstance(node, ast.IfExp):
        return " / ".join(
            part for part in (words(node.body, known), words(node.orelse, known)) if _says(part)
        )
    if isinstance(node, ast.Name) and node.id in known:
        return words(known[node.id], known)
    return "" if node is None else _OPEN


def _says(text: str) -> bool:
    return len(text.replace(_OPEN, "").strip(" '\":;,.")) > 3


def _cell(text: str) -> str:
    return "" if text == _OPEN else markdown(" ".join(text.split()))
