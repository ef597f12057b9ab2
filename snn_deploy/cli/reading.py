"""Options that state what a ``.nir`` file from elsewhere leaves open about discrete time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from snn_deploy.graph.timing import Reading

_PANEL = "Discrete time of a .nir file that does not state it"

Dt = Annotated[
    float | None,
    typer.Option("--dt", help="Step in seconds.", show_default=False, rich_help_panel=_PANEL),
]
Integrator = Annotated[
    str | None,
    typer.Option(help="euler or exponential.", show_default=False, rich_help_panel=_PANEL),
]
FiresAt = Annotated[
    str | None,
    typer.Option("--fires-at", help="'>' or '>='.", show_default=False, rich_help_panel=_PANEL),
]
Reset = Annotated[
    str | None,
    typer.Option(help="zero (to v_reset) or subtract.", show_default=False, rich_help_panel=_PANEL),
]


def stated(dt: float | None, integrator: str | None, fires_at: str | None, reset: str | None) -> Reading:
    """The options as a :class:`snn_deploy.graph.timing.Reading`.

    Raises:
        ConfigError: values that are not known, all at once.
    """
    from typing import get_args

    from snn_deploy.core.errors import ConfigError, Problem
    from snn_deploy.graph import semantics
    from snn_deploy.graph.timing import Reading

    problems = (
        [] if dt is None or 0 < dt < semantics.MAX_DT else [Problem("--dt", f"{dt:g}", "a time in seconds")]
    )
    known = {
        "--integrator": (integrator, semantics.Integrator),
        "--fires-at": (fires_at, semantics.Comparison),
        "--reset": (reset, semantics.Reset),
    }
    for name, (value, literal) in known.items():
        if value is not None and value not in get_args(literal):
            problems.append(Problem(name, f"'{value}'", rule=" or ".join(get_args(literal))))
    if problems:
        raise ConfigError(
            "The discrete time of the file is stated in a way we do not know.", problems=problems
        )
    return Reading(dt, integrator, fires_at, reset)  # type: ignore[arg-type]
