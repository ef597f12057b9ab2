"""Pages of the commands, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from snn_deploy.cli.main import app
from snn_deploy.core.text import markdown

GUIDES = {
    "init": "own", "compare": "report", "ls": "catalog", "show": "catalog", "cp": "catalog",
    "validate": "catalog", "conform": "conformance",
}  # fmt: skip
"""The page that explains a command at length, where it is not called like the command."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in the commands' part of the navigation."""
    for section in config.nav or []:
        if "Commands" in section:
            section["Commands"] = ["commands/index.md", *(f"commands/{name}.md" for name in commands())]
    return config


def commands() -> dict[str, Any]:
    """All commands in the order of the program's help."""
    found: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return found


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page per command, and their list."""
    rows = [f"| [`{name}`]({name}.md) | {_first(command)} |" for name, command in commands().items()]
    epilog = str(app.info.epilog)
    index = ["# Commands", "", "| command | |", "| --- | --- |", *rows, "", "## Exit codes", epilog]
    pages = {"index": "\n".join(index)}
    pages |= {name: page(name, command, _guided(files, name)) for name, command in commands().items()}
    for name, text in pages.items():
        files.append(File.generated(config, f"commands/{name}.md", content=text))
    return files


def page(name: str, command: Any, guide: bool) -> str:
    """One command: what it does, how it is called, every argument and option with its default."""
    parameters = [p for p in command.params if not p.hidden and p.name != "help"]
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    options = [p for p in parameters if p.param_type_name == "option"]
    usage = " ".join(["snn-deploy", name, *(_placed(p) for p in arguments), "[OPTIONS]" if options else ""])
    parts = [f"# snn-deploy {name}", markdown(command.help or ""), f"```text\n{usage.strip()}\n```"]
    if guide:
        parts.append(f"At length: [{GUIDES.get(name, name)}](../{GUIDES.get(name, name)}.md).")
    for title, found in (("Arguments", arguments), ("Options", options)):
        if found:
            parts.append(f"## {title}\n\n| | | default |\n| --- | --- | --- |\n" + "\n".join(_rows(found)))
    return "\n\n".join(parts) + "\n"


def _guided(files: Files, name: str) -> bool:
    return files.get_file_from_path(f"{GUIDES.get(name, name)}.md") is not None


def _first(command: Any) -> str:
    return markdown((command.help or "").strip().partition("\n")[0])


def _placed(parameter: Any) -> str:
    name = str(parameter.metavar or parameter.name.upper())
    return name if parameter.required else f"[{name}]"


def _rows(parameters: list[Any]) -> Iterator[str]:
    for p in parameters:
        names = (
            [*p.opts, *p.secondary_opts] if p.param_type_name == "option" else [p.metavar or p.name.upper()]
        )
        default = (
            "" if p.default in {None, False} or callable(p.default) or p.default == () else str(p.default)
        )
        more = " Repeat for several." if p.multiple and "epeat" not in (p.help or "") else ""
        shown = " ".join(f"`{name}`" for name in names)
        text = markdown(" ".join((p.help or "").split()))
        yield f"| {shown} | {text}{more} | {f'`{default}`' if default else ''} |"
