"""Learn the shapes of tapped outputs when a method is built, so that what cannot work is refused then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from spikingjelly.activation_based import functional
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from snn_deploy.core.errors import ConfigError, Problem
from snn_deploy.distill.methods.method import Setting
from snn_deploy.distill.neurons.choice import scanned
from snn_deploy.distill.taps import tap

Grid = tuple[int, int]


def student_shapes(setting: Setting, paths: Sequence[str]) -> list[tuple[int, ...]]:
    """Shape of one sample's output at one step, ``[T, B, *shape]``, of every module in ``paths``.

    Raises:
        ConfigError: see :func:`~snn_deploy.distill.taps.tap`.
    """
    x = torch.zeros(setting.timesteps, 1, *setting.in_shape)
    return [shape[2:] for shape in _shapes(setting.student, paths, x)]


def teacher_shapes(setting: Setting, paths: Sequence[str]) -> list[tuple[int, ...]]:
    """The same in the teacher, whose outputs are ``[B, *shape]``."""
    assert setting.teacher is not None
    return [shape[1:] for shape in _shapes(setting.teacher, paths, torch.zeros(1, *setting.in_shape))]


def _shapes(network: nn.Module, paths: Sequence[str], x: torch.Tensor) -> list[tuple[int, ...]]:
    """Shapes of the outputs of ``paths`` for ``x``; modes, statistics and neuron states stay as they were."""
    modes = {module: module.training for module in network.modules()}
    device = next((parameter.device for parameter in network.parameters()), x.device)
    functional.reset_net(network)
    network.eval()
    try:
        with torch.no_grad(), scanned(network), tap(network, paths) as outputs:
            network(x.to(device))
    finally:
        functional.reset_net(network)
        for module, training in modes.items():
            module.training = training
    return [tuple(outputs[path].shape) for path in paths]


def axes_problems(where: str, shape: tuple[int, ...], wanted: Mapping[int, str]) -> list[Problem]:
    """A problem unless ``shape`` has a number of axes that ``wanted`` describes."""
    if len(shape) in wanted:
        return []
    return [Problem(where, f"gives {list(shape)} per sample", " or ".join(wanted.values()))]


def common_grid(method: str, student: tuple[str, Grid], teacher: tuple[str, Grid], resize: str) -> Grid:
    """The positions on which two maps are compared: height and width.

    ``student`` and ``teacher`` are a tap and the size of its map. Different sizes are refused
    unless ``resize`` is ``pool``; then the common grid has the smaller height and the smaller width.

    Raises:
        ConfigError: the sizes differ and ``resize`` is ``refuse``.
    """
    (student_tap, ours), (teacher_tap, theirs) = student, teacher
    if ours != theirs and resize == "refuse":
        what = f"has {ours[0]}x{ours[1]} positions"
        rule = f"as many as the teacher's '{teacher_tap}', {theirs[0]}x{theirs[1]}"
        raise ConfigError(
            f"The method '{method}' compares maps position by position, and their sizes differ.",
            problems=[Problem(f"student tap '{student_tap}'", what, rule)],
            hint="Tap other modules, or set 'resize: pool' to average both down to the smaller size.",
        )
    return min(ours[0], theirs[0]), min(ours[1], theirs[1])


def pool_to(x: torch.Tensor, grid: Grid) -> torch.Tensor:
    """``x [..., C, H, W]`` averaged down to ``grid`` (adaptive average pooling); itself when it fits."""
    return x if x.shape[-2:] == grid else adaptive_avg_pool2d(x, grid)
