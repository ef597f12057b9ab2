"""The first check of a bundle: our reading of a file against what the framework that wrote it computed.

Every node of the trace is compared over all steps in a free run of the reference simulator. Spikes must be
equal; real values (membranes, integrators) must be close, for frameworks sum in another order. A membrane is
compared where its neuron does not spike: some frameworks give it before the reset, some after.
"""

from __future__ import annotations

import torch

from snn_deploy.core.errors import ParityError, Problem
from snn_deploy.export.parity import LayerParity, Parity
from snn_deploy.graph.readers.record_trace import MEMBRANE
from snn_deploy.graph.readers.traces import SourceTrace
from snn_deploy.graph.types import SPIKING_NODES, Plan
from snn_deploy.simulate.reference import Reference

CLOSE = 1e-3
"""Of a membrane's largest value, and of the value itself; our choice."""


def prove_reading(plan: Plan, trace: SourceTrace) -> Parity:
    """Compare ``plan`` with the source's ``trace``; the verdict is ``equal`` or ``failed``."""
    reference = Reference(plan)
    records = reference.run(trace.x, record="all").records
    layers = [
        _compared(name, records[name], wanted, exact=isinstance(plan.node(name), SPIKING_NODES))
        for name, wanted in trace.outputs.items()
    ]
    membranes = _membranes(reference, trace) if trace.membranes else {}
    for name, wanted in trace.membranes.items():
        quiet = records[name] == 0 if isinstance(plan.node(name), SPIKING_NODES) else True
        found = torch.where(torch.as_tensor(quiet), membranes[name], wanted)
        layers.append(_compared(name + MEMBRANE, found, wanted, exact=False))
    wrong = [layer for layer in layers if layer.differing]
    return Parity(
        format="reading",
        runtime="reference",
        reference="source",
        exact=True,
        samples=int(trace.x.shape[1]),
        layers=tuple(layers),
        same_decision=0 if wrong else int(trace.x.shape[1]),
        verdict="failed" if wrong else "equal",
        reason=", ".join(f"{layer.layer}: {layer.differing} differ" for layer in wrong),
    )


def require_proven(parity: Parity, file: str) -> str:
    """A sentence on a proven reading.

    Raises:
        ParityError: it is not that of the source; every layer that differs is named with its first step.
    """
    wrong = [layer for layer in parity.layers if layer.differing]
    if not wrong:
        names = ", ".join(layer.layer for layer in parity.layers)
        return f"The reading is proven: 0 of {parity.compared:,} values of the source differ in {names}."
    raise ParityError(
        f"We do not read '{file}' as its source means it.",
        problems=[
            Problem(
                layer.layer,
                f"{layer.differing:,} of {layer.compared:,} values differ, first at step "
                f"{(layer.first or (0, 0, 0))[0]} of sample {(layer.first or (0, 0, 0))[1]}",
                rule="equal to the trace",
            )
            for layer in wrong
        ],
        hint="Name its writer with --from and what its file cannot say (--reset, --spikes, --dt ...).",
    )


def _compared(name: str, found: torch.Tensor, wanted: torch.Tensor, *, exact: bool) -> LayerParity:
    scale = CLOSE * float(wanted.abs().max())
    flips = found != wanted if exact else ~torch.isclose(found, wanted, rtol=CLOSE, atol=scale)
    count = int(flips.sum())
    first = None
    if count:
        step, sample, element = (int(i) for i in flips.flatten(2).nonzero()[0])
        first = (step, sample, element)
    return LayerParity(name, wanted.numel(), count, free_differing=count, first=first)


def _membranes(reference: Reference, trace: SourceTrace) -> dict[str, torch.Tensor]:
    """Membranes after each step, of the nodes that the trace has them of."""
    state = reference.initial_state(trace.x.shape[1])
    found: dict[str, list[torch.Tensor]] = {name: [] for name in trace.membranes}
    for x in trace.x:
        _, state = reference.step(x, state)
        for name, values in found.items():
            values.append(state[name].v)  # type: ignore[attr-defined]
    return {name: torch.stack(values) for name, values in found.items()}
