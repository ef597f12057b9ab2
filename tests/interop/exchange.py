"""Write graphs for a reader, have it execute the files, and hand back what came out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import nir
import numpy as np
import torch

from interop import environments
from snn_deploy.core.errors import SnnDeployError
from snn_deploy.export.base import Calibration
from snn_deploy.export.foreign import run_foreign
from snn_deploy.export.nir import NirWriter
from snn_deploy.export.options import NirOptions
from snn_deploy.graph.passes.for_readers.consumers import CONSUMERS
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.types import SPIKING_NODES
from snn_deploy.simulate.reference import Reference

HERE = ("norse", "snntorch", "spikingjelly")
"""Readers that are installed beside us."""

PEERS = ("rockpool", "sinabs", "spyx")
"""Readers in environments of their own."""

PACKAGES = {"norse": "norse", "snntorch": "snntorch", "spikingjelly": "spikingjelly"}
NOTHING = Calibration(torch.zeros(1, 1, 1))


@dataclass(frozen=True)
class Case:
    """A network and frames ``x [T, B, ...]`` for it."""

    name: str
    graph: nir.NIRGraph
    x: torch.Tensor


@dataclass(frozen=True)
class Outcome:
    """What a reader made of a case: its ``output``, or why there is none.

    ``state``: ``ran``, ``refused`` (by our writer), ``failed`` (in the reader), or ``written`` (not run; the
    output is that of the reference simulator on the file, with the reader's arithmetic).
    """

    state: str
    output: torch.Tensor | None = None
    reason: str = ""
    rules: tuple[str, ...] = ()


def refusal(error: SnnDeployError) -> Outcome:
    """The outcome of a writer's refusal: every problem, and each broken rule once, without names of nodes."""
    problems = error.problems
    rules = (p.rule.replace("does not read it", f"does not read {p.what}") for p in problems)
    text = "; ".join(f"{p.where}: {p.what} ({p.rule})" for p in problems) or error.message
    return Outcome("refused", reason=text, rules=tuple(dict.fromkeys(rule for rule in rules if rule)))


def write(case: Case, reader: str, folder: Path, allow: Sequence[str] = ()) -> Outcome | None:
    """Write ``folder/model.nir``; the refusal when the writer refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        NirWriter(NirOptions(reader=reader, allow=tuple(allow))).write(case.graph, folder, NOTHING)
    except SnnDeployError as error:
        return refusal(error)
    return None


def execute(
    cases: Sequence[Case], reader: str, root: Path, say: Callable[[str], None] = print
) -> dict[str, Outcome]:
    """Every case written for ``reader`` and executed by it; files go under ``root``."""
    folder = root / reader
    shutil.rmtree(folder, ignore_errors=True)
    found: dict[str, Outcome] = {}
    for number, case in enumerate(cases):
        refused = write(case, reader, folder / str(number))
        if refused is not None:
            found[case.name] = refused
        elif reader in HERE:
            found[case.name] = _here(case, reader, folder / str(number) / "model.nir")
        elif reader not in PEERS:
            output = Reference(read_nir(folder / str(number) / "model.nir")).run(case.x).output
            found[case.name] = Outcome("written", output)
    if reader in PEERS:
        found |= _in_peer([case for case in cases if case.name not in found], cases, reader, folder, say)
    return found


def _here(case: Case, reader: str, path: Path) -> Outcome:
    try:
        return Outcome("ran", run_foreign(path, case.x, reader))
    except SnnDeployError as error:
        return Outcome("failed", reason=error.message)


def _in_peer(
    left: Sequence[Case], cases: Sequence[Case], reader: str, folder: Path, say: Callable[[str], None]
) -> dict[str, Outcome]:
    entries = []
    for case in left:
        number = [c.name for c in cases].index(case.name)
        np.save(folder / str(number) / "x.npy", case.x.numpy())
        layers = len(make_plan(case.graph).of_type(*SPIKING_NODES))
        entries.append(
            {
                "name": case.name,
                "file": f"{number}/model.nir",
                "x": f"{number}/x.npy",
                "out": f"{number}/out.npy",
                "reset": read_semantics(case.graph).reset,
                "late": CONSUMERS[reader].late * layers,
            }
        )
    (folder / "cases.json").write_text(json.dumps(entries))
    environments.run(reader, "read.py", folder, say=say)
    reasons = json.loads((folder / "failed.json").read_text())
    return {
        entry["name"]: Outcome("failed", reason=reasons[entry["name"]])
        if entry["name"] in reasons
        else Outcome("ran", torch.from_numpy(np.load(folder / entry["out"])))
        for entry in entries
    }


def versions(reader: str, root: Path) -> str:
    """Name and version of what ran."""
    if reader in HERE:
        return f"{reader} {version(PACKAGES[reader])}"
    file = root / reader / "versions.json"
    if not file.is_file():
        return f"{CONSUMERS[reader].title}, not run"
    found = json.loads(file.read_text())
    return ", ".join(f"{name} {number}" for name, number in found.items())
