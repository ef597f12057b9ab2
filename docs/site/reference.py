"""The page of the public API: every name of the package, in the order of what it is for."""

from __future__ import annotations

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import snn_deploy

GROUPS = {
    "The chain": [
        "distill_student", "export_bundle", "open_bundle", "check_network", "simulate_network",
        "write_report", "compare_reports", "open_stream", "run_sweep",
    ],
    "What they take and give": ["Bundle", "Run", "Session", "Own", "Recipe", "Semantics", "SnnDeployError"],
    "Recipes and profiles": ["load_recipe", "load_profile", "describe"],
    "Graphs and counts": [
        "from_torch", "read_nir", "make_plan", "record_trace", "count", "price", "EventCounter",
    ],
}  # fmt: skip
_ROLE = re.compile(r":(?:func|class|mod|data|meth|attr):<code>(?:~(?:[\w.]*\.)?(\w+)|([\w.]+))</code>")
HEAD = """# From Python

```python
import snn_deploy as sd
```

Each name is loaded when it is first used: importing the package is cheap.
Errors raised on purpose derive from `SnnDeployError`.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, "reference.md", content=page()))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """References in our docstrings become plain names: the last part of a path that begins with ``~``."""
    return _ROLE.sub(lambda found: f"<code>{found[1] or found[2]}</code>", html)


def page() -> str:
    """Directives for mkdocstrings, which reads the source without running it."""
    where = snn_deploy._WHERE
    listed = [name for names in GROUPS.values() for name in names]
    rest = [name for name in where if name not in listed]
    groups = GROUPS | ({"More": rest} if rest else {})
    parts = [HEAD]
    for title, names in groups.items():
        parts.append(f"## {title}\n")
        parts += [f"::: {where[name]}.{name}\n    options:\n      heading_level: 3\n" for name in names]
    return "\n".join(parts)
