"""Networks that other frameworks made, exported and ran: their own spikes against our reading of their files.

::

    python -m interop.dialects        in tests/, from `make interop`

Every peer's ``export.py`` writes ``NAME.nir`` and ``NAME.npz`` (``x [T, B, ...]``, outputs ``wanted``),
and ``cases.json``: per case how the file is to be read; where there is ``NAME.trace.npz`` it must prove that,
and refuse every reading of another framework, or without what the case states, that gives other outputs.
Frameworks that are installed beside us are in tests/parity/test_dialects_*.py. Exit 1 when an output differs.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from interop import environments
from snn_deploy.core.errors import ParityError, SnnDeployError
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.timing import Reading
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.reading import read_proven

PEERS = ("sinabs", "rockpool", "spyx")
LEAST = 4_800
OTHERS = (None, "snntorch", "norse", "spikingjelly", "sinabs", "rockpool", "spyx")
"""Whose meaning a file is given wrongly; None: that of NIR alone."""


@dataclass(frozen=True)
class Row:
    """One network: its writer, what it is, and what came out."""

    writer: str
    name: str
    outputs: int
    differing: int | None
    reason: str = ""
    caught: int = 0

    @property
    def wrong(self) -> bool:
        """Whether the reading is not that of the framework."""
        return self.differing != 0 or self.outputs < LEAST


def rows(peer: str, folder: Path) -> list[Row]:
    """Make the files in ``peer``'s environment and read all of them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environments.run(peer, "export.py", folder)
    return [_row(peer, folder, case) for case in json.loads((folder / "cases.json").read_text())]


def _row(peer: str, folder: Path, case: dict) -> Row:
    name = case["name"]
    with np.load(folder / f"{name}.npz") as content:
        x, wanted = torch.from_numpy(content["x"]), torch.from_numpy(content["wanted"])
    try:
        plan, _ = read_plan(folder / f"{name}.nir", Reading(writer=peer, **case["reading"]))
    except SnnDeployError as error:
        return Row(peer, name, wanted.numel(), None, str(error))
    trace = folder / f"{name}.trace.npz"
    caught = 0
    if trace.exists():
        try:
            read_proven(folder / f"{name}.nir", Reading(writer=peer, trace=trace, **case["reading"]))
        except SnnDeployError as error:
            return Row(peer, name, wanted.numel(), None, str(error))
        for other in OTHERS:
            if (other != peer or case["reading"]) and _misread(
                folder / f"{name}.nir", other, x, wanted, graded=case["graded"]
            ):
                if not _refused(folder / f"{name}.nir", Reading(writer=other, trace=trace)):
                    return Row(peer, name, wanted.numel(), None, f"the trace lets pass what {other} means")
                caught += 1
        if not caught:
            return Row(peer, name, wanted.numel(), None, "no other reading gives other outputs")
    found = Reference(plan).run(x).output
    if found.shape != wanted.shape:
        return Row(peer, name, wanted.numel(), None, f"shapes {found.shape} and {wanted.shape}")
    same = torch.isclose(found, wanted, rtol=1e-5, atol=1e-6) if case["graded"] else found == wanted
    busy = 0.005 < float((wanted != 0).float().mean()) <= (1.0 if case["graded"] else 0.99)
    differing = int((~same).sum())
    return Row(peer, name, wanted.numel(), differing, "" if busy else "silent or always firing", caught)


def _misread(path: Path, writer: str | None, x: torch.Tensor, wanted: torch.Tensor, *, graded: bool) -> bool:
    """Whether the file opens as one of ``writer`` and then gives other outputs than it should."""
    try:
        plan, _ = read_plan(path, Reading(writer=writer))
        found = Reference(plan).run(x).output
    except SnnDeployError:
        return False
    return found.shape == wanted.shape and not torch.allclose(
        found, wanted, rtol=1e-3 if graded else 0, atol=0
    )


def _refused(path: Path, reading: Reading) -> bool:
    try:
        read_proven(path, reading)
    except ParityError:
        return True
    return False


def main() -> int:
    """See the module's text."""
    found = [row for peer in PEERS for row in rows(peer, environments.ROOT / "dialects" / peer)]
    for row in found:
        wrong = f", {row.caught} wrong readings caught" if row.caught else ""
        print(f"{row.writer:10} {row.name:32} {row.differing} of {row.outputs}{wrong} {row.reason}")
    return int(any(row.wrong or row.reason for row in found))


if __name__ == "__main__":
    environments.end(main)
