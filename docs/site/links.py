"""Pages of the repository outside docs/, and links between all of them: what works there works here."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "CONTRIBUTING.md": "project/CONTRIBUTING.md",
    "CHANGELOG.md": "project/CHANGELOG.md",
    "SECURITY.md": "project/SECURITY.md",
    "export/SUPPORTED.md": "project/SUPPORTED.md",
    "export/CONFORMANCE.md": "project/CONFORMANCE.md",
    "distill/METHODS.md": "project/METHODS.md",
    "hardware_profiles/README.md": "project/profiles.md",
    "README.md": "index.md",
}
"""Path in the repository, and the page that shows it."""
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?![a-z]+:)([^)#\s]*)(#[^)\s]*)?\)")
_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)


def results() -> dict[str, str]:
    """Results of benchmarks, which pages cite, and their pictures."""
    found = [p for p in sorted((ROOT / "benchmarks" / "results").iterdir()) if p.suffix in {".md", ".svg"}]
    return {path.relative_to(ROOT).as_posix(): f"benchmarks/{path.name}" for path in found}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Guides that the navigation does not name come after those that it names."""
    named = set(re.findall(r"[\w/-]+\.md", str(config.nav)))
    more = [path.name for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in named]
    for section in config.nav or []:
        section.get("Guides", []).extend(more)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/; an orphan of them is found by the search."""
    for source, place in (PAGES | results()).items():
        if place != "index.md":
            files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


BOOST = {
    "tutorials/": 4.0, "concepts/": 4.0, "index.md": 2.0, "own.md": 8.0, "benchmarks/": 0.1, "project/": 0.1,
}  # fmt: skip
"""What the search shows first: explanations before records."""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the repository has them become links of the site; those to code become plain text."""
    shown = PAGES | results()
    origins = {place: source for source, place in shown.items() if place != "index.md"}
    here = page.file.src_uri
    page.meta["search"] = {"boost": next((b for place, b in BOOST.items() if here.startswith(place)), 1.0)}
    origin = origins.get(here, f"docs/{here}")

    def moved(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        if not target:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        place = shown.get(path, path.removeprefix("docs/") if path.startswith("docs/") else "")
        if not place or (files.get_file_from_path(place) is None):
            return text
        return f"[{text}]({posixpath.relpath(place, posixpath.dirname(here) or '.')}{anchor})"

    parts = _CODE.split(markdown)
    return "".join(part if number % 2 else _LINK.sub(moved, part) for number, part in enumerate(parts))
