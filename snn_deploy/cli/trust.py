"""Whether the Python files that a recipe names may be run: ``--trust``, or a yes at the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from snn_deploy.recipes.own_code import OwnCode
    from snn_deploy.recipes.own_parts import Trust

TRUST = "Run the Python files that the recipe names; see docs/own.md."
Trusting = Annotated[bool, typer.Option("--trust", help=TRUST)]


def asked(trust: bool) -> Trust:
    """The option, or a question for each file where a person can answer."""
    if trust or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return trust
    return _ask


def _ask(code: OwnCode) -> bool:
    from snn_deploy.recipes.own_files import needed_files

    names = ", ".join(needed_files(code.file))
    return typer.confirm(f"The recipe runs Python code: {names} (in {code.file.parent}). Trust it?", err=True)
