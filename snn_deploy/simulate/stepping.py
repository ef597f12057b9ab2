"""Networks that take one frame at a time and keep their state: what a stream is given to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.core.errors import DataError
from snn_deploy.graph.types import Plan
from snn_deploy.simulate.onnx.runtime import OnnxRuntime
from snn_deploy.simulate.reference import Reference

Frame = npt.NDArray[np.float32]
Saved = dict[str, npt.NDArray[np.generic]]


class Stepper(Protocol):
    """One sample of a network, step by step, from the state at its start."""

    def step(self, frame: Frame) -> Frame:
        """The output ``[*shape]`` of the next step, for a frame ``[*in_shape]``.

        Raises:
            DataError: the frame does not fit the network.
        """

    def reset(self) -> None:
        """Forget everything, before the next sample."""

    def state(self) -> Saved:
        """All that is remembered, as arrays."""

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Go on from what :meth:`state` gave.

        Raises:
            DataError: it is of another network.
        """


class ReferenceStepper:
    """The reference simulator, one step at a time."""

    def __init__(self, plan: Plan) -> None:
        self._reference = Reference(plan)
        self._state = self._reference.initial_state(1)

    def step(self, frame: Frame) -> Frame:
        output, self._state = self._reference.step(torch.from_numpy(frame)[None], self._state)
        found: Frame = output[0].numpy()
        return found

    def reset(self) -> None:
        self._state = self._reference.initial_state(1)

    def state(self) -> Saved:
        return {f"{name}/{i}": t.numpy() for name, parts in self._state.items() for i, t in enumerate(parts)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        checked = _same_shapes(self.state(), state)
        fresh = self._reference.initial_state(1)
        self._state = {
            name: type(kind)(*(torch.from_numpy(checked[f"{name}/{i}"].copy()) for i in range(len(kind))))
            for name, kind in fresh.items()
        }


class OnnxStepper:
    """A step model in ONNX Runtime, with its states threaded."""

    def __init__(self, path: Path) -> None:
        self._model = OnnxRuntime(path)
        if self._model.info.kind != "step":
            raise DataError(f"'{path.name}' takes whole sequences.", hint="Export again with --onnx step.")
        self._state = self._model.initial_state(1)

    def step(self, frame: Frame) -> Frame:
        output, self._state = self._model.step(frame[None], self._state)
        found: Frame = output[0]
        return found

    def reset(self) -> None:
        self._state = self._model.initial_state(1)

    def state(self) -> Saved:
        return dict(self._state)

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        checked = _same_shapes(self.state(), state)
        self._state = {name: array.astype(np.float32) for name, array in checked.items()}


def _same_shapes(own: Saved, given: Mapping[str, npt.NDArray[np.generic]]) -> Saved:
    """``given``, as far as ``own`` has it.

    Raises:
        DataError: something is missing, or has another shape.
    """
    for name, array in own.items():
        if name not in given or given[name].shape != array.shape:
            raise DataError(f"The saved state does not fit the network: '{name}' is not {list(array.shape)}.")
    return {name: np.asarray(given[name]) for name in own}
