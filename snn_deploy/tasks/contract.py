"""What an opened network is fed with: as its bundle or its run says, else as the samples that it is shown."""

from __future__ import annotations

import torch
from pydantic import TypeAdapter

from snn_deploy.core.contract import Contract, EventFrames, ImageSteps, Made
from snn_deploy.export.input_contract import contract_of
from snn_deploy.graph.passes.micro_steps.schedule import read_schedule
from snn_deploy.tasks.source import Source

_CONTRACT: TypeAdapter[Contract] = TypeAdapter(Contract)
_MADE: TypeAdapter[EventFrames | ImageSteps] = TypeAdapter(Made)


def contract_for(source: Source, x: torch.Tensor, made: EventFrames | ImageSteps | None) -> Contract:
    """The contract of ``source``, which is shown ``x [T, B, *shape]``, frames that are ``made`` so."""
    if source.manifest is not None:
        return _CONTRACT.validate_python(source.manifest["input"])
    if read_schedule(source.plan.graph) is not None:
        return contract_of(x, None, trained=False)
    trained = making(source)
    return contract_of(x, trained or made, trained=trained is not None)


def making(source: Source) -> EventFrames | ImageSteps | None:
    """How the frames of ``source`` are made; None where neither its bundle nor its run says it."""
    if source.manifest is not None:
        return _CONTRACT.validate_python(source.manifest["input"]).made
    data = (source.provenance.get("result") or {}).get("data", {})
    made = data.get("made")
    return None if made is None else _MADE.validate_python(made)
