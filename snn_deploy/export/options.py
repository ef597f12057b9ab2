"""The options of the formats that a network is written in."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from snn_deploy.core.registry import Options
from snn_deploy.simulate.onnx.models import MODELS


class NirOptions(Options):
    """Options of the format ``nir``.

    Attributes:
        reader: write the flavour that this reader understands; by default the portable form.
        nir_version: of the NIR package that will read the file.
        allow: rules that may be broken, by name.
    """

    reader: str | None = None
    nir_version: str = "1.0.8"
    allow: tuple[str, ...] = ()


class OnnxOptions(Options):
    """Options of the format ``onnx``.

    Attributes:
        models: each into its own file: ``step``, ``scan``, ``unrolled``, and with ``-int8``.
        opset: the ONNX operator set; 17 is the lowest that the operators need.
    """

    models: tuple[str, ...] = Field(default=("step", "scan"), min_length=1)
    opset: int = Field(default=18, ge=17, le=20)

    @field_validator("models")
    @classmethod
    def _known(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        """Each once, those of float32 first."""
        if unknown := set(models) - set(MODELS):
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(MODELS)}")
        return tuple(name for name in MODELS if name in models)


class LavaOptions(Options):
    """Options of the format ``lava``.

    Attributes:
        bits: of the weights; fewer make a smaller network on the chip and a larger error. By default those
            that the network was trained with, else 8.
        scales: one scale per layer, or per channel: that costs less accuracy, but runs in simulation only.
    """

    bits: int | None = Field(default=None, ge=2, le=8)
    scales: Literal["layer", "channel"] = "layer"


class COptions(LavaOptions):
    """Those of the integer network that the C code is written from: the same as of ``lava``."""
