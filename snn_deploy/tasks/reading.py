"""Read a NIR file from elsewhere, and prove the reading where its source's own spikes are at hand."""

from __future__ import annotations

from pathlib import Path

from snn_deploy.export.parity import Parity
from snn_deploy.export.reading_proof import prove_reading, require_proven
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.readers.traces import read_trace
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.timing import Reading
from snn_deploy.graph.types import Plan

UNPROVEN = (
    "The reading itself is not proven: --trace FILE compares it with the spikes of the framework that wrote "
    "the file."
)


def read_proven(path: Path, reading: Reading) -> tuple[Plan, list[str], str, Parity | None]:
    """The plan of a NIR file, what was assumed to make it, how far that is proven, and the check that does.

    A file that states everything, and so is ours, needs no proof: the sentence is empty then.

    Raises:
        ParityError: we do not compute what the trace says.
        DataError, UnsupportedError, ConfigError: see :func:`~snn_deploy.graph.readers.reading.read_plan` and
            :func:`~snn_deploy.graph.readers.traces.read_trace`.
    """
    plan, assumed = read_plan(path, reading)
    if reading.trace is not None:
        proof = prove_reading(plan, read_trace(reading.trace, plan))
        return plan, list(assumed), require_proven(proof, path.name), proof
    foreign = assumed or reading.given() or read_semantics(plan.graph).assumed
    return plan, list(assumed), UNPROVEN if foreign else "", None
