"""The command ``snn-deploy``. Commands import what they need when they run: ``--help`` never loads torch."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from typing import Annotated, Any

import typer

from snn_deploy.cli import (
    catalog,
    check,
    compare,
    conform,
    convert,
    distill,
    doctor,
    export,
    init,
    report,
    simulate,
    stream,
    sweep,
    trace,
)
from snn_deploy.core.errors import DataError, SnnDeployError
from snn_deploy.core.version import __version__

app = typer.Typer(
    name="snn-deploy",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Distil spiking networks, export them, prove the export spike by spike, price it per chip.",
    epilog="Exit codes: 0 done, 1 bug, 2 usage or recipe, 3 the target cannot express it, 4 outside "
    "tolerance (parity, energy), 5 does not fit the chip, 6 optional part missing, 7 data missing or "
    "damaged, 8 training diverged, 9 too little memory, 75 interrupted and resumable.",
)
EXIT_INTERRUPTED = 130
_UsageError: Any = typer.BadParameter.__base__
"""Base of usage errors; typer carries its own copy of click, which has no public name."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"snn-deploy {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Distil spiking networks, export them, prove the export spike by spike, price it per chip."""


app.command("init")(init.init)
app.command("distill")(distill.distill)
app.command("convert")(convert.convert)
app.command("sweep")(sweep.sweep)
app.command("export")(export.export)
app.command("check")(check.check)
app.command("simulate")(simulate.simulate)
app.command("stream")(stream.stream)
app.command("trace")(trace.trace)
app.command("conform")(conform.conform)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("ls")(catalog.ls)
app.command("show")(catalog.show)
app.command("cp")(catalog.cp)
app.command("validate")(catalog.validate)
app.command("doctor")(doctor.doctor)


def run(arguments: list[str] | None = None) -> None:
    """Entry point: run a command and turn every outcome into its exit code."""
    try:
        code = exit_code(sys.argv[1:] if arguments is None else arguments)
    except Exception:  # noqa: BLE001 - the last line of defence gives a bug its own exit code
        traceback.print_exc()
        sys.stderr.write("\nThis is a bug in snn-deploy; please report it with the lines above.\n")
        code = 1
    if os.environ.get("WORLD_SIZE", "1") != "1":
        # Threads that still wait for other processes may abort the interpreter while it shuts down.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def exit_code(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    as_json = "--json" in arguments
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # it only says that there is no Triton
    try:
        result = app(args=arguments, standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except _UsageError.__base__ as failure:
        failure.show()
        return 2
    except (typer.Abort, KeyboardInterrupt):
        from snn_deploy.cli import render

        render.err.print("interrupted; nothing half-written was left behind")
        return EXIT_INTERRUPTED
    except SnnDeployError as failure:
        return _report(failure, as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as failure:
        place = f" ('{failure.filename}')" if failure.filename else ""
        reason = failure.strerror or str(failure)
        return _report(DataError(f"{reason}{place}", hint="Nothing half-written was left behind."), as_json)
    return result if isinstance(result, int) else 0


def _report(failure: SnnDeployError, as_json: bool) -> int:
    from snn_deploy.cli import render

    if failure.alone or render.first_process():
        render.error(failure, as_json=as_json)
    return failure.exit_code
