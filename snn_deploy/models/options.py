"""The options of students and teachers: what a recipe may say of a network."""

from __future__ import annotations

from pathlib import Path
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

    Attributes:
        name: shape of the surrogate derivative.
        alpha: its steepness.
    """

    name: Literal["atan", "sigmoid", "triangle", "rectangle"] = "atan"
    alpha: float = Field(default=2.0, gt=0, allow_inf_nan=False)


class NeuronOptions(Options):
    """A kind of neuron.

    Attributes:
        kind: integrate-and-fire, leaky, with a trained time constant (PLIF), or with several spikes (I-LIF).
        tau: membrane time constant in steps, of ``plif`` before training; null: an ``ilif`` without leak.
        decay_input: the input is divided by ``tau`` too; means nothing to ``if``.
        v_threshold: membrane potential at which the neuron fires.
        v_reset: membrane potential after a spike; null subtracts the threshold (soft reset).
        surrogate: derivative of the spike in training.
        detach_reset: no gradient passes through the reset.
        levels: most spikes of an ``ilif`` neuron in a step; other kinds have none.
    """

    kind: Literal["if", "lif", "plif", "ilif"] = "lif"
    tau: float | None = Field(default=2.0, gt=1, allow_inf_nan=False)
    decay_input: bool = True
    v_threshold: float = Field(default=1.0, allow_inf_nan=False)
    v_reset: float | None = Field(default=0.0, allow_inf_nan=False)
    surrogate: SurrogateOptions = SurrogateOptions()
    detach_reset: bool = True
    levels: int | None = Field(default=None, ge=1, le=255)

    @model_validator(mode="after")
    def _whole_numbers(self) -> Self:
        if (self.kind == "ilif") != (self.levels is not None):
            raise ValueError("levels go with kind ilif, which needs them")
        if self.kind == "ilif" and self.v_reset is not None:
            raise ValueError("ilif neurons subtract what they fired: v_reset must be null")
        if self.kind != "ilif" and self.tau is None:
            raise ValueError("tau null, no leak, is for kind ilif; if neurons do not leak either")
        return self

    @model_validator(mode="after")
    def _threshold_above_rest(self) -> Self:
        rest = 0.0 if self.v_reset is None else self.v_reset
        if self.v_threshold <= rest:
            raise ValueError(f"v_threshold {self.v_threshold} must be above the reset value {rest}")
        return self


class BlockOptions(Options):
    """One convolutional block; padding is ``kernel // 2``.

    Attributes:
        channels: that the convolution gives.
        kernel: side of the convolution's window.
        stride: of the convolution.
        pool: side of the average pooling window, 1 for none.
    """

    channels: int = Field(ge=1, le=8192)
    kernel: int = Field(default=3, ge=1, le=31)
    stride: int = Field(default=1, ge=1, le=16)
    pool: int = Field(default=1, ge=1, le=64)


class SpikingCnnOptions(Options):
    """Options of ``spiking-cnn``.

    Attributes:
        blocks: the convolutional blocks in order.
        hidden: widths of the hidden dense layers.
        neuron: of every layer.
        readout: the last layer fires (``spiking``), or gives its potentials (``linear``).
        logit_scale: factor of a spiking readout's logits, in training losses only.
    """

    blocks: tuple[BlockOptions, ...] = Field(min_length=1, max_length=64)
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(default=(), max_length=16)
    neuron: NeuronOptions = NeuronOptions()
    readout: Literal["spiking", "linear"] = "spiking"
    logit_scale: float = Field(default=8.0, gt=0, allow_inf_nan=False)


class ConvOptions(Options):
    """One 3x3 convolution, padded by 1.

    Attributes:
        channels: that it gives.
        stride: of the convolution.
        pool: side of the average pooling window, 1 for none.
    """

    channels: int = Field(ge=1, le=8192)
    stride: int = Field(default=1, ge=1, le=16)
    pool: int = Field(default=1, ge=1, le=64)


class CnnOptions(Options):
    """Options of ``cnn``.

    Attributes:
        blocks: the convolutions in order.
        grid: side of the grid of averages that is left of the image; 1 where the place of a feature shall not
            matter.
        dropout: before the last layer.
    """

    blocks: tuple[ConvOptions, ...] = Field(min_length=1, max_length=64)
    grid: int = Field(default=1, ge=1, le=64)
    dropout: float = Field(default=0.0, ge=0, lt=1)


Pooling = Literal["average", "stride", "max"]


class SpikingOptions(Options):
    """What a student has and its twin has not.

    Attributes:
        neuron: of every layer.
        readout: the last layer fires (``spiking``), or gives its potentials (``linear``).
        logit_scale: factor of a spiking readout's logits, in training losses only.
    """

    neuron: NeuronOptions = NeuronOptions()
    readout: Literal["spiking", "linear"] = "linear"
    logit_scale: float = Field(default=8.0, gt=0, allow_inf_nan=False)


class RsnnOptions(SpikingOptions):
    """Options of ``rsnn``.

    Attributes:
        hidden: widths of the hidden layers.
        recurrent: the spikes of a layer come back to it a step later, through weights of their own.
        longest_delay: each hidden neuron learns a delay of up to this many steps; 0 for none.
    """

    hidden: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(min_length=1, max_length=16)
    recurrent: bool = True
    longest_delay: int = Field(default=0, ge=0, le=255)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.recurrent and self.neuron.kind == "ilif":
            raise ValueError("recurrent neurons are of kind if, lif or plif")
        return self


Width = Annotated[int, Field(ge=1, le=8192)]
Stage = Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)]


class StemOptions(Options):
    """The first convolution.

    Attributes:
        kernel: side of its window.
        stride: of the convolution.
    """

    kernel: int = Field(default=3, ge=1, le=31)
    stride: int = Field(default=1, ge=1, le=16)


class VggOptions(Options):
    """Options of the VGG networks.

    Attributes:
        stages: channels of the convolutions by stage; by default those of the name.
        hidden: widths of the hidden dense layers; by default those of the name.
        stem: the first convolution.
        pooling: how each stage down-samples by 2.
        dropout: before dense layers; by default that of the name.
    """

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
    """The first convolution and the down-sampling behind it: 3, 1, 1 is that of CIFAR; 7, 2, 2 that of
    ImageNet, where papers take the maximum over 3x3 windows.

    Attributes:
        kernel: side of the convolution's window.
        stride: of the convolution.
        pool: factor of the down-sampling behind it, 1 for none.
    """

    kernel: int = Field(default=3, ge=1, le=31)
    stride: int = Field(default=1, ge=1, le=16)
    pool: int = Field(default=1, ge=1, le=16)


class ResidualOptions(Options):
    """Options of the residual networks.

    Attributes:
        widths: channels of the layers; by default those of the name.
        blocks: number of blocks in each layer; by default that of the name.
        hidden: widths of the hidden dense layers; by default those of the name.
        stem: the first convolution and the down-sampling behind it.
        pooling: how the stem down-samples.
        shortcut: what stands beside a block where shapes change: a strided convolution, or an average and a
            convolution.
        dropout: before the readout.
    """

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
    """Options of ``spikformer``; the defaults are those for CIFAR, 4-384.

    Attributes:
        depth: number of blocks.
        width: of the embedding.
        heads: of the attention.
        patch: side of a patch in pixels.
        mlp_ratio: width of the dense layers in a block by ``width``.
        neuron: of every layer; by default that of the source.
    """

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
    """Options of ``qkformer``.

    Attributes:
        depths: number of blocks in each of the three stages.
        width: of the last stage; the first two have a quarter and half of it.
        heads: of the attention in each stage.
        mlp_ratio: width of the dense layers in a block by that of the stage.
        neuron: of every layer; by default that of the source.
    """

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
    """Options of networks of other packages.

    Attributes:
        model: the package's name of the network.
        size: images are resized to this many pixels square first (bilinear, our choice); by default not.
    """

    model: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100)
    size: int | None = Field(default=None, ge=8, le=1024)


class ConvertedOptions(Options):
    """Options of ``converted``.

    Attributes:
        network: ``network.nir`` of a conversion.
        sha256: of that file; recorded when the recipe is read.
        neuron: of every layer; integrate-and-fire with reset by subtraction is the conversion's own.
    """

    network: Path
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    neuron: NeuronOptions = NeuronOptions(kind="if", v_reset=None)


class OnnxOptions(Options):
    """Options of the teacher ``onnx``.

    Attributes:
        file: the ``.onnx`` file, with its weights.
        sha256: of that file; recorded when the recipe is read.
    """

    file: Path
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
