"""What our ONNX files say about themselves, in one metadata entry (JSON under the key ``snn_deploy``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from snn_deploy.core.errors import DataError
from snn_deploy.graph.semantics import MAX_TIMESTEPS
from snn_deploy.graph.shapes import MAX_ELEMENTS
from snn_deploy.simulate.onnx.models import Kind, Precision

KEY = "snn_deploy"


def at_step(name: str, t: int) -> str:
    """The name in an unrolled model of what a step calls ``name``, at step ``t``."""
    return f"{name}@{t}"


class _Info(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Value(_Info):
    """A named tensor; ``shape`` leaves out the time and batch axes."""

    name: str = Field(min_length=1, max_length=512)
    shape: tuple[int, ...] = Field(max_length=8)


class StateValue(_Info):
    """State of one node: the tensors that carry it in and out of a step, and its value at the start."""

    node: str = Field(max_length=512)
    input: str = Field(min_length=1, max_length=512)
    output: str = Field(min_length=1, max_length=512)
    shape: tuple[int, ...] = Field(max_length=9)
    start: float = 0.0


class OnnxInfo(_Info):
    """Metadata of one model.

    Attributes:
        kind: ``step``: one time step, states in and out; ``scan``: a whole sequence from the start state;
            ``unrolled``: a sequence of exactly ``timesteps`` steps.
        input, output: what goes in per step and what comes out.
        states: in the order of the model's inputs and outputs.
        layers: spiking layers; the tensor of a layer's spikes has the layer's name (``NAME@t`` at step t of
            an unrolled model).
        timesteps, dt, integrator, fires_at, reset, decode, classes: see
            :class:`snn_deploy.graph.semantics.Semantics`.
        precision: of the weights and their inputs; neurons are always float32.
        weights_sha256: over names and contents of all constants.
    """

    version: Literal[1] = 1
    kind: Kind
    input: Value
    output: Value
    states: tuple[StateValue, ...] = Field(max_length=20_000)
    layers: tuple[Value, ...] = Field(max_length=20_000)
    precision: Precision = "float32"
    encoding: str = "one float32 frame per step"
    timesteps: int | None = Field(default=None, ge=1, le=MAX_TIMESTEPS)
    dt: float
    integrator: str
    fires_at: str
    reset: str
    decode: Literal["mean", "last"]
    classes: tuple[str, ...] = ()
    weights_sha256: str = ""

    def to_json(self) -> str:
        """The metadata entry."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)


def read_info(properties: Mapping[str, str], where: str) -> OnnxInfo:
    """The metadata of the model ``where``.

    Raises:
        DataError: they are missing or damaged.
    """
    if KEY not in properties:
        raise DataError(
            f"'{where}' has no '{KEY}' metadata: which tensors are states and layers is not known.",
            hint="Only ONNX files written by snn-deploy can be executed.",
        )
    try:
        info = OnnxInfo.model_validate_json(properties[KEY])
    except ValidationError as error:
        faults = "; ".join(": ".join([*map(str, e["loc"]), e["msg"]]) for e in error.errors()[:5])
        raise DataError(f"The '{KEY}' metadata of '{where}' are damaged: {faults}") from None
    if info.kind == "unrolled" and info.timesteps is None:
        raise DataError(f"The '{KEY}' metadata of '{where}' are damaged: unrolled over how many timesteps?")
    values: list[Value | StateValue] = [info.input, info.output, *info.states, *info.layers]
    for value in values:
        total = 1
        for size in value.shape:
            total *= size
            if size < 0 or total > MAX_ELEMENTS:
                raise DataError(f"The '{KEY}' metadata of '{where}' declare the shape {value.shape}.")
    return info
