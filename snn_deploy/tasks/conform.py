"""The referee as a function: a reader against the golden set, or our reading of a file against its trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from snn_deploy.conformance.known import find_reader
from snn_deploy.conformance.matrix import Column
from snn_deploy.conformance.matrix import conform as put_to
from snn_deploy.core.errors import ConfigError
from snn_deploy.export.parity import Parity
from snn_deploy.graph.readers.reading import NOTHING_STATED
from snn_deploy.graph.timing import Reading
from snn_deploy.tasks.reading import read_proven


def conform(
    reader: str = "snn-deploy",
    python: Path | str | None = None,
    *,
    step: float | None = None,
    nir_version: str | None = None,
    seconds: float = 60.0,
    memory: int = 4 << 30,
    report: Callable[[str], None] = lambda line: None,
) -> Column:
    """Put the golden set to a reader of NIR files.

    Args:
        reader: a name of :data:`snn_deploy.conformance.known.READERS`, or a ``FILE.py`` with
            ``run(path, x, dt)``; such a file is code, and is run.
        python: the interpreter of the environment that has the reader; by default this one.
        step: the step in seconds that it is told and its files are written for.
        nir_version: the NIR library that its files are written for, 1.0.8 or 1.0.4.
        seconds: the most that one answer may take.
        memory: the most data that its process may hold, in bytes.
        report: is told what is going on.

    Raises:
        ConfigError: no such reader or interpreter.
        MissingOptionalError: the reader is not installed there.
    """
    where = None if python is None else Path(python)
    if where is not None and not where.is_file():
        raise ConfigError(f"There is no interpreter '{python}'.", hint="--python ENVIRONMENT/bin/python")
    known = find_reader(reader, step, nir_version)
    return put_to(known, where, seconds=seconds, memory=memory, report=report)


def conform_file(file: Path | str, reading: Reading = NOTHING_STATED) -> Parity:
    """Whether we compute what the trace of ``reading`` says of a NIR file.

    Raises:
        ConfigError: no trace is stated.
        ParityError: we do not; every layer that differs is named with its first step.
    """
    if reading.trace is None:
        raise ConfigError("There is nothing to hold the file against.", hint="--trace FILE")
    proof = read_proven(Path(file), reading)[3]
    assert proof is not None
    return proof
