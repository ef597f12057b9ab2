"""Teachers from timm and torchvision, for those who have these packages.

Weights come from ``teacher.checkpoint``: nothing is downloaded, so save those of a model as safetensors first
(timm publishes them in that form).
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import torch
from torch import nn

from snn_deploy.core.errors import ConfigError, MissingOptionalError
from snn_deploy.core.registry import TEACHERS
from snn_deploy.models.options import ForeignOptions
from snn_deploy.models.parts import Shape


@TEACHERS.register("timm")
def timm_teacher(options: ForeignOptions, *, in_shape: Shape, classes: int) -> nn.Module:
    """A network of the package timm, which must be installed.

    Raises:
        MissingOptionalError: timm is not installed, or cannot be imported.
        ConfigError: timm has no such network, or it cannot be built for these images.
    """
    timm = _package("timm")
    return _made(options, timm.create_model, pretrained=False, num_classes=classes, in_chans=in_shape[0])


@TEACHERS.register("torchvision")
def torchvision_teacher(options: ForeignOptions, *, in_shape: Shape, classes: int) -> nn.Module:
    """A network of the package torchvision, which must be installed.

    Raises:
        MissingOptionalError: torchvision is not installed, or does not fit the torch at hand.
        ConfigError: torchvision has no such network, or its input has not three channels.
    """
    models = _package("torchvision.models")
    if in_shape[0] != 3:
        raise ConfigError(f"torchvision's networks take 3 channels, these data have {in_shape[0]}.")
    return _made(options, models.get_model, weights=None, num_classes=classes)


def _package(name: str) -> ModuleType:
    root = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError, OSError) as error:
        # A torchvision built for another torch raises RuntimeError: its operators do not exist.
        raise MissingOptionalError(
            f"The teacher '{root}' needs the package {root}, which cannot be imported: {error}",
            hint=f"Install a {root} that fits torch {torch.__version__}, or choose another teacher.",
        ) from None


def _made(options: ForeignOptions, create: Any, **settings: Any) -> nn.Module:
    try:
        network: nn.Module = create(options.model, **settings)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(f"The teacher's model '{options.model}' cannot be built: {error}") from None
    if options.size is not None:
        network.register_forward_pre_hook(_Resize(options.size))
    return network


class _Resize:
    """A hook before a network's forward, so that its checkpoint keeps its names."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, _network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        x = inputs[0]
        size = (self._size, self._size)
        return (nn.functional.interpolate(x, size, mode="bilinear", antialias=True), *inputs[1:])
