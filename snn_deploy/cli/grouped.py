"""Options that several commands share, which they get as one value."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Command = TypeVar("Command", bound=Callable[..., Any])


def grouped(
    parameter: str, options: Mapping[str, Any], make: Callable[..., Any]
) -> Callable[[Command], Command]:
    """A decorator: a command that takes ``parameter`` gets ``options`` in its place, made into one value by
    ``make``. Typer sees them in the signature; those that the command has itself are left to it.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        given = [p for p in signature.parameters.values() if p.name != parameter]
        taken = {name: option for name, option in options.items() if name not in signature.parameters}
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
            for name, option in taken.items()
        ]

        def run(**values: Any) -> Any:
            stated = {name: values.pop(name) for name in taken}
            return command(**values, **{parameter: make(**stated)})

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in given] + added
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run  # type: ignore[return-value]

    return decorate
