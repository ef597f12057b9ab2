"""Options that state what a ``.nir`` file from elsewhere leaves open: who wrote it, and its discrete time.

They are the same for every command that takes a network; :func:`reading_options` gives them to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snn_deploy.cli.grouped import grouped

if TYPE_CHECKING:
    from snn_deploy.graph.timing import Reading

_PANEL = "What a .nir file from elsewhere leaves open"


def _option(name: str, text: str) -> Any:
    return typer.Option(name, help=text, show_default=False, rich_help_panel=_PANEL)


_OPTIONS: dict[str, Any] = {
    "writer": Annotated[
        str | None,
        _option(
            "--from",
            "Who wrote it: snntorch, norse, sinabs, rockpool, spikingjelly, spyx, lava-dl; auto: find out.",
        ),
    ],
    "dt": Annotated[float | None, _option("--dt", "Step in seconds.")],
    "integrator": Annotated[str | None, _option("--integrator", "euler or exponential.")],
    "fires_at": Annotated[str | None, _option("--fires-at", "'>' or '>='.")],
    "reset": Annotated[
        str | None,
        _option(
            "--reset",
            "zero (to v_reset), subtract or none; of single neurons: zero,NODE=none. The hub's others: "
            "zero-next, subtract-next, subtract-raised.",
        ),
    ],
    "reset_delay": Annotated[
        bool | None,
        _option("--reset-delay/--no-reset-delay", "snntorch: whether resets come a step late (its default)."),
    ],
    "spikes": Annotated[str | None, _option("--spikes", "Per neuron and step: one, or many.")],
    "v_min": Annotated[float | None, _option("--min-membrane", "Lower bound of membranes (min_v_mem).")],
    "norm_input": Annotated[
        bool | None,
        _option("--norm-input/--no-norm-input", "sinabs: as its layers were made (True is its default)."),
    ],
    "trace": Annotated[
        Path | None,
        _option("--trace", "Spikes of the framework that wrote it (npz or NIRData): proves the reading."),
    ],
    "allow": Annotated[
        list[str] | None,
        _option("--allow", "unreachable: leave out nodes that no input reaches or that reach no output."),
    ],
}


def stated(**options: Any) -> Reading:
    """The options as a :class:`snn_deploy.graph.timing.Reading`.

    Raises:
        ConfigError: values that are not known, all at once.
    """
    import math
    from typing import get_args

    from snn_deploy.core.errors import ConfigError, Problem
    from snn_deploy.graph import semantics
    from snn_deploy.graph.reach import ALLOW
    from snn_deploy.graph.timing import Reading

    dt, v_min, allow = options["dt"], options["v_min"], options.pop("allow", None) or ()
    problems = (
        [] if dt is None or 0 < dt < semantics.MAX_DT else [Problem("--dt", f"{dt:g}", "a time in seconds")]
    )
    if v_min is not None and not math.isfinite(v_min):
        problems.append(Problem("--min-membrane", f"{v_min:g}", "a number"))
    problems += [Problem(f"--allow {rule}", "unknown rule", ALLOW) for rule in allow if rule != ALLOW]
    options["reset"], resets = _resets(options["reset"])
    known: list[tuple[str, str | None, Any]] = [
        ("--integrator", options["integrator"], semantics.Integrator),
        ("--fires-at", options["fires_at"], semantics.Comparison),
        ("--spikes", options["spikes"], semantics.StatedSpikes),
        *(("--reset", kind, semantics.Reset) for kind in (options["reset"], *(kind for _, kind in resets))),
    ]
    for name, value, literal in known:
        if value is not None and value not in get_args(literal):
            problems.append(Problem(name, f"'{value}'", rule=" or ".join(get_args(literal))))
    if problems:
        raise ConfigError(
            "The discrete time of the file is stated in a way we do not know.", problems=problems
        )
    return Reading(**options, resets=tuple(resets), leave_out=ALLOW in allow)  # type: ignore[arg-type]


def _resets(text: str | None) -> tuple[str | None, list[tuple[str, str]]]:
    """The reset of all neurons, and those of single ones: ``zero,NODE=none``."""
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    alone = [part for part in parts if "=" not in part]
    named = [part.rpartition("=") for part in parts if "=" in part]
    return (",".join(alone) or None), [(name.strip(), kind.strip()) for name, _, kind in named]


reading_options = grouped("reading", _OPTIONS, stated)
"""Gives these options to a command that takes a ``reading``, a :class:`snn_deploy.graph.timing.Reading`."""
