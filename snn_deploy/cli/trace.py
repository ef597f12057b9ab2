"""``trace``: what a network gives in its own framework, for the proof of its reading."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snn_deploy.cli.network import Data
from snn_deploy.cli.own import own_options


@own_options
def trace(
    source: Annotated[Path, typer.Argument(help="FILE.py:NAME, the network that was exported to NIR.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: NAME.trace.npz.", show_default=False)
    ] = None,
    data: Data = None,
    samples: Annotated[int, typer.Option(min=1, max=4096, help="Number of samples.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of the random spikes that are shown without data.")] = 0,
    own: Any = None,
) -> None:
    """Run a network in its own framework and write what its neurons gave."""
    from snn_deploy.cli import render
    from snn_deploy.core.errors import ConfigError
    from snn_deploy.recipes.own_code import is_own_code
    from snn_deploy.tasks.trace import write_trace

    if not is_own_code(str(source)):
        raise ConfigError(
            f"'{source}' is no code.", hint="Name a file and what makes the network: my_net.py:Net"
        )
    name = str(source).rpartition(":")[2]
    written = write_trace(
        source, out or Path(f"{name}.trace.npz"), own=own, data=data, samples=samples, seed=seed
    )
    render.say(f"wrote {written}")
    render.say(f"next: snn-deploy export FILE.nir --from auto --trace {written}")
