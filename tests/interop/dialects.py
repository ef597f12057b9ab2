"""Networks that other frameworks made, exported and ran: their own spikes against our reading of their files.

::

    python -m interop.dialects        in tests/, from `make interop`

Every peer's ``export.py`` writes ``NAME.nir`` and ``NAME.npz`` (``x [T, B, ...]``, outputs ``wanted``),
and ``cases.json``: per case how the file is to be read; where there is ``NAME.trace.npz`` it must prove that.
Frameworks that are installed beside us are in tests/parity/test_dialects_*.py. Exit 1 when an output differs.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from interop import environments
from snn_deploy.core.errors import SnnDeployError
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.timing import Reading
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.reading import read_proven

PEERS = ("sinabs", "rockpool", "spyx")
LEAST = 4_800


@dataclass(frozen=True)
class Row:
    """One network: its writer, what it is, and what came out."""

    writer: str
    name: str
    outputs: int
    differing: int | None
    reason: str = ""

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
    if trace.exists():
        try:
            read_proven(folder / f"{name}.nir", Reading(writer=peer, trace=trace, **case["reading"]))
        except SnnDeployError as error:
            return Row(peer, name, wanted.numel(), None, str(error))
    found = Reference(plan).run(x).output
    if found.shape != wanted.shape:
        return Row(peer, name, wanted.numel(), None, f"shapes {found.shape} and {wanted.shape}")
    same = torch.isclose(found, wanted, rtol=1e-5, atol=1e-6) if case["graded"] else found == wanted
    busy = 0.005 < float((wanted != 0).float().mean()) <= (1.0 if case["graded"] else 0.99)
    return Row(peer, name, wanted.numel(), int((~same).sum()), "" if busy else "silent or always firing")


def main() -> int:
    """See the module's text."""
    found = [row for peer in PEERS for row in rows(peer, environments.ROOT / "dialects" / peer)]
    for row in found:
        print(f"{row.writer:10} {row.name:32} {row.differing} of {row.outputs} {row.reason}")
    return int(any(row.wrong or row.reason for row in found))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except environments.PeerError as error:
        print(error, file=sys.stderr)
        sys.exit(6)
