"""Plant single faults in exported files, one after the other, and ask the proof about each."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import nir
import numpy as np
import torch

from snn_deploy.core.errors import SnnDeployError
from snn_deploy.export.base import Calibration
from snn_deploy.export.nir import NirOptions, NirWriter
from snn_deploy.export.onnx import OnnxOptions, OnnxWriter
from snn_deploy.export.parity import Parity
from snn_deploy.export.proof.files import probe_claims
from snn_deploy.export.proof.frames import threshold_of
from snn_deploy.export.proof.judge import Limits
from snn_deploy.export.proof.probes import Fed, Probes
from snn_deploy.export.proof.rounding import Rounding
from snn_deploy.export.verify import Claim, Samples, prove
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import read_nir, write_nir
from snn_deploy.graph.types import SPIKING_NODES, WEIGHT_NODES, Plan
from snn_deploy.simulate.base import Executable
from snn_deploy.simulate.onnx.runtime import OnnxRuntime
from snn_deploy.simulate.reference import Reference
from support.faults import Fault, faults_of
from support.membranes import membranes64
from support.random_graphs import exact_case

POTENTIALS = ("v_threshold", "v_reset", "v_leak", "threshold")


def network(seed: int, *, rounding: bool = True) -> tuple[nir.NIRGraph, torch.Tensor]:
    """A random network with thresholds around one of 1e-6, 1e-5 ... 1e3, and an input for it.

    ``rounding``: weights are no binary fractions, so that sums round.
    """
    case = exact_case(seed, scalar_start=True)
    rng = np.random.default_rng(seed)
    size = 10.0 ** (seed % 10 - 6)
    for node in case.graph.nodes.values():
        if isinstance(node, WEIGHT_NODES):
            weight = np.asarray(node.weight, np.float64)
            if rounding:
                weight = weight * rng.uniform(0.8, 1.25, weight.shape)
            node.weight = (weight * size).astype(np.float32)
            if hasattr(node, "bias"):
                node.bias = (np.asarray(node.bias, np.float64) * size).astype(np.float32)
        for name in POTENTIALS:
            if hasattr(node, name):
                setattr(node, name, np.asarray(getattr(node, name), np.float64) * size)
    return case.graph, case.input(4, 6, seed)


@dataclass
class Outcome:
    """What became of the faults; ``escaped`` changed something, and the proof passed."""

    caught: int = 0
    harmless: Counter[str] = field(default_factory=Counter)
    undecided: Counter[str] = field(default_factory=Counter)
    escaped: list[str] = field(default_factory=list)

    @property
    def planted(self) -> int:
        """All of them."""
        harmless, undecided = sum(self.harmless.values()), sum(self.undecided.values())
        return self.caught + harmless + undecided + len(self.escaped)


def campaign(seed: int, folder: Path, outcome: Outcome, *, formats: tuple[str, ...], most: int) -> None:
    """Plant up to ``most`` faults in every file of one network."""
    graph, x = network(seed, rounding=seed % 3 != 0)
    plan = make_plan(graph)
    samples = Samples(x)
    rng = np.random.default_rng(seed)
    for kind in formats:
        held = intended(plan, kind, folder)
        faults = list(faults_of(held.graph))
        chosen = rng.permutation(len(faults))[:most]
        for fault in (faults[int(number)] for number in chosen):
            _one(plan, held, fault, kind, samples, folder, outcome, int(rng.integers(2**20)))


def intended(plan: Plan, kind: str, folder: Path) -> Plan:
    """The graph that the file of a format holds."""
    if kind == "onnx":
        return plan
    written = NirWriter(NirOptions(allow=("reset-in-metadata",))).write(
        plan.graph, folder, Calibration(torch.zeros(1))
    )
    assert written.lowered is not None
    return make_plan(written.lowered)


def _one(
    plan: Plan,
    held: Plan,
    fault: Fault,
    kind: str,
    samples: Samples,
    folder: Path,
    outcome: Outcome,
    seed: int,
) -> None:
    faulty = fault.planted(held.graph, seed)
    name = f"{kind}: {fault.kind} at {fault.where}"
    try:
        file = written_file(faulty, kind, folder, samples.x)
    except SnnDeployError:
        outcome.caught += 1  # the file cannot even be written or read
        return
    result = proved(plan, held, kind, samples, file)
    if result.verdict == "failed":
        outcome.caught += 1
    elif not changes(held, make_plan(faulty), samples.x, decided=False):
        outcome.harmless[fault.kind] += 1
    elif not changes(held, make_plan(faulty), samples.x, decided=True):
        outcome.undecided[fault.kind] += 1
    else:
        outcome.escaped.append(f"{name} of network: {result.verdict}")


def written_file(graph: nir.NIRGraph, kind: str, folder: Path, x: torch.Tensor) -> Executable:
    """A file of ``graph``, opened in its runtime."""
    if kind == "nir":
        write_nir(copy.deepcopy(graph), folder / "faulty.nir")
        return Reference(read_nir(folder / "faulty.nir"))
    options = OnnxOptions(models=(kind.partition(" ")[2] or "scan",))
    written = OnnxWriter(options).write(graph, folder, Calibration(x))
    return OnnxRuntime(folder / next(iter(written.files.values())))


def proved(plan: Plan, held: Plan, kind: str, samples: Samples, file: Executable) -> Parity:
    """The proof's result on one file."""
    blank = Parity(kind, "reference" if kind == "nir" else "onnxruntime", "network", exact=True, samples=0)
    claim = Claim(blank, Reference(plan), lambda: file, Rounding(plan), plan, held)
    probe_claims([claim])
    return prove([claim], samples, limits=Limits())[0]


def changes(right: Plan, faulty: Plan, x: torch.Tensor, *, decided: bool) -> bool:
    """Whether any spike or output of float64 arithmetic changes, on the samples or on any synthetic input;
    with ``decided``, by more than float32 could tell: 1e-6 of the values, or a spike whose membrane is 1e-6
    off the threshold, or meets it after a history that float32 holds without rounding."""
    a, b = (Reference(p, dtype=torch.float64) for p in (right, faulty))
    probes = Probes(right, Rounding(right))
    for name in (name for name in right.order if name != right.input):
        for fed in (probes.frames(name), probes.sequences(name)):
            if fed is not None and _node_changes(right, name, fed, (a, b), decided=decided):
                return True
    free = [run.run(x.double(), record=True) for run in (a, b)]
    return _differ(free[0].output, free[1].output, decided=decided)


def _node_changes(
    right: Plan, name: str, fed: Fed, runs: tuple[Reference, Reference], *, decided: bool
) -> bool:
    """Whether the output of one node changes on what it is ``fed``."""
    shapes = {name: right.shapes[name]}
    before, after = (run.run_nodes(fed.sent(right.input), fed, shapes, right.output)[name] for run in runs)
    if decided and name in right.of_type(*SPIKING_NODES):
        return bool(((before != after) & _decided(right, name, fed, before)).any())
    return _differ(before, after, decided=decided)


def _decided(plan: Plan, layer: str, given: Fed, spikes: torch.Tensor) -> torch.Tensor:
    """Where float32 decides whether a neuron fires, whose sources sent what was ``given``."""
    arriving = [given.sent(source).double() for source in plan.sources[layer]]
    for source in plan.feedback.get(layer, ()):
        sent = given.sent(source).double()
        arriving.append(torch.cat([torch.zeros_like(sent[:1]), sent[:-1]]))
    membrane = membranes64(plan, layer, torch.stack(arriving).sum(0), spikes)
    threshold = torch.as_tensor(threshold_of(plan.node(layer)))
    off = (membrane - threshold).abs() > 1e-6 * threshold.abs()
    held = membrane == membrane.float().double()
    return off | (held.long().cumprod(0) > 0)


def _differ(right: torch.Tensor, faulty: torch.Tensor, *, decided: bool) -> bool:
    return bool(((right - faulty).abs() > (1e-6 if decided else 1e-12) * right.abs()).any())
