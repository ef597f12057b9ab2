"""The options of students and teachers: what a recipe may say of a network."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from snn_deploy.core.registry import Options


class SurrogateOptions(Options):
    """What stands for the derivative of the spike at ``x = h - theta`` in the backward pass.

    ========== =====================================================
    name       derivative
    ========== =====================================================
    atan       ``(alpha / 2) / (1 + (pi alpha x / 2)^2)``
    sigmoid    ``alpha sigmoid(alpha x) (1 - sigmoid(alpha x))``
    triangle   ``max(0, alpha - alpha^2 |x|)``
    rectangle  ``alpha where |x| < 1 / (2 alpha), else 0``
    ========== =====================================================

    The default, atan with alpha 2, is our choice.
    """

    name: Literal["atan", "sigmoid", "triangle", "rectangle"] = "atan"
    alpha: float = Field(default=2.0, gt=0, allow_inf_nan=False)


class NeuronOptions(Options):
    """A kind of neuron. ``tau`` (in steps) and ``decay_input`` mean nothing to ``if``, which does not leak;
    for ``plif`` ``tau`` is the value before training. ``v_reset: null`` is the soft reset."""

    kind: Literal["if", "lif", "plif"] = "lif"
    tau: float = Field(default=2.0, gt=1, allow_inf_nan=False)
    decay_input: bool = True
    v_threshold: float = Field(default=1.0, allow_inf_nan=False)
    v_reset: float | None = Field(default=0.0, allow_inf_nan=False)
    surrogate: SurrogateOptions = SurrogateOptions()
    detach_reset: bool = True

    @model_validator(mode="after")
    def _threshold_above_rest(self) -> Self:
        rest = 0.0 if self.v_reset is None else self.v_reset
        if self.v_threshold <= rest:
            raise ValueError(f"v_threshold {self.v_threshold} must be above the reset value {rest}")
        return self


class BlockOptions(Options):
    """One convolutional block. Padding is ``kernel // 2``; ``pool`` is the side of the average pooling
    window, 1 for none."""

    channels: int = Field(ge=1, le=8192)
    kernel: int = Field(default=3, ge=1, le=31)
    stride: int = Field(default=1, ge=1, le=16)
    pool: int = Field(default=1, ge=1, le=64)


class SpikingCnnOptions(Options):
    """Blocks, widths of the hidden dense layers, the neuron of every layer, and the readout."""

    blocks: tuple[BlockOptions, ...] = Field(min_length=1, max_length=64)
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(default=(), max_length=16)
    neuron: NeuronOptions = NeuronOptions()
    readout: Literal["spiking", "linear"] = "spiking"
    logit_scale: float = Field(default=8.0, gt=0, allow_inf_nan=False)


class ConvOptions(Options):
    """One 3x3 convolution, padded by 1. ``pool`` is the side of the average pooling window, 1 for none."""

    channels: int = Field(ge=1, le=8192)
    stride: int = Field(default=1, ge=1, le=16)
    pool: int = Field(default=1, ge=1, le=64)


class CnnOptions(Options):
    """The convolutions in order; the side of the grid of averages that is left of the image, 1 where the
    place of a feature shall not matter; and the dropout before the last layer."""

    blocks: tuple[ConvOptions, ...] = Field(min_length=1, max_length=64)
    grid: int = Field(default=1, ge=1, le=64)
    dropout: float = Field(default=0.0, ge=0, lt=1)


Pooling = Literal["average", "stride", "max"]


class SpikingOptions(Options):
    """What a student has and its twin has not: neurons, and a readout that may spike. A spiking readout's
    logits are multiplied by ``logit_scale`` in training losses only."""

    neuron: NeuronOptions = NeuronOptions()
    readout: Literal["spiking", "linear"] = "linear"
    logit_scale: float = Field(default=8.0, gt=0, allow_inf_nan=False)


Width = Annotated[int, Field(ge=1, le=8192)]
Stage = Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)]


class StemOptions(Options):
    """Kernel and stride of the first convolution."""

    kernel: int = Field(default=3, ge=1, le=31)
    stride: int = Field(default=1, ge=1, le=16)


class VggOptions(Options):
    """Channels of the convolutions by stage and widths of the hidden dense layers, those of the name by
    default; the first convolution; how each stage down-samples by 2; dropout before dense layers."""

    stages: tuple[Stage, ...] | None = Field(default=None, min_length=1, max_length=8)
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] | None = Field(default=None, max_length=16)
    stem: StemOptions = StemOptions()
    pooling: Pooling = "average"
    dropout: float | None = Field(default=None, ge=0, lt=1)


class SpikingVggOptions(VggOptions, SpikingOptions):
    """Those of the twin, and the neuron of every layer and the readout."""


Counts = Annotated[tuple[Annotated[int, Field(ge=1, le=256)], ...], Field(min_length=1, max_length=8)]
Widths = Annotated[tuple[Annotated[int, Field(ge=1, le=8192)], ...], Field(min_length=1, max_length=8)]


class ResidualStem(Options):
    """The first convolution, and the down-sampling by ``pool`` behind it: 3, 1, 1 is that of CIFAR; 7, 2, 2
    that of ImageNet, where papers take the maximum over 3x3 windows."""

    kernel: int = Field(default=3, ge=1, le=31)
    stride: int = Field(default=1, ge=1, le=16)
    pool: int = Field(default=1, ge=1, le=16)


class ResidualOptions(Options):
    """Channels and numbers of blocks of the layers and widths of the hidden dense layers, by default those of
    the name; the stem and its pooling; the shortcut where shapes change; dropout before the readout."""

    widths: Widths | None = None
    blocks: Counts | None = None
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] | None = Field(default=None, max_length=16)
    stem: ResidualStem = ResidualStem()
    pooling: Pooling = "average"
    shortcut: Literal["conv", "average"] = "conv"
    dropout: float = Field(default=0.0, ge=0, lt=1)


class SpikingResidualOptions(ResidualOptions, SpikingOptions):
    """Those of the twin, and the neuron of every layer and the readout."""


Count = Annotated[int, Field(ge=1, le=64)]


class SpikformerOptions(Options):
    """``patch`` is the side of a patch in pixels; ``mlp_ratio`` the width of the dense layers
    in a block by ``width``. The defaults are those for CIFAR, 4-384."""

    depth: Count = 4
    width: int = Field(default=384, ge=8, le=4096, multiple_of=8)
    heads: Count = 12
    patch: Literal[4, 16] = 4
    mlp_ratio: float = Field(default=4.0, gt=0, le=16)
    neuron: NeuronOptions | None = None

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide into {self.heads} heads")
        return self


class QkformerOptions(Options):
    """Blocks and heads of the three stages, whose widths are ``width / 4``, ``width / 2`` and ``width``."""

    depths: tuple[Count, Count, Count] = (1, 1, 2)
    width: int = Field(default=256, ge=8, le=4096, multiple_of=4)
    heads: tuple[Count, Count, Count] = (2, 4, 8)
    mlp_ratio: float = Field(default=4.0, gt=0, le=16)
    neuron: NeuronOptions | None = None

    @model_validator(mode="after")
    def _divides(self) -> Self:
        widths = (self.width // 4, self.width // 2, self.width)
        if any(width % heads for width, heads in zip(widths, self.heads, strict=True)):
            raise ValueError(f"widths {widths} do not divide into {self.heads} heads")
        return self


class ForeignOptions(Options):
    """``model`` is the package's name of the network. Where ``size`` is given, images are resized to
    ``size`` by ``size`` first (bilinear, our choice)."""

    model: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100)
    size: int | None = Field(default=None, ge=8, le=1024)
