"""Our ONNX files in ONNX Runtime, as they are - and opened up, to see and replace what layers exchange.

Without recording the file's own bytes run. To record, the spikes of every layer become outputs of the very
same operators; to force, the operators behind a layer read a new input instead of the layer's output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from snn_deploy.core.errors import DataError
from snn_deploy.core.registry import BACKENDS
from snn_deploy.graph.types import Trace, given_spikes
from snn_deploy.simulate.onnx.info import OnnxInfo, Value, read_info
from snn_deploy.simulate.onnx.surgery import FORCED, SEQ, check_interface, load_model, opened

Array = npt.NDArray[np.float32]
Arrays = dict[str, Array]

_RUNTIME_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
_ERRORS_ONLY = 3


class OnnxRuntime:
    """A ``step``, ``scan`` or ``unrolled`` model on one CPU thread.

    Raises:
        DataError: missing, damaged, with external data or operators of other domains, or not ours.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._model = load_model(path)
        properties = {entry.key: entry.value for entry in self._model.metadata_props}
        self.info: OnnxInfo = read_info(properties, path.name)
        check_interface(self._model, self.info, path.name)
        self._sessions: dict[tuple[tuple[str, ...], ...], onnxruntime.InferenceSession] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the spiking layers in execution order."""
        return tuple(layer.name for layer in self.info.layers)

    def run(
        self,
        x: torch.Tensor,
        *,
        record: bool = False,
        forced: Mapping[str, torch.Tensor] | None = None,
    ) -> Trace:
        """Run ``x [T, B, *shape]``; see :class:`snn_deploy.simulate.base.Executable`.

        Raises:
            DataError: shapes do not fit, or ONNX Runtime refuses the model.
            ConfigError: ``forced`` names an unknown layer.
        """
        layers = {layer.name: layer for layer in self.info.layers}
        given = given_spikes(forced, layers)
        recorded = list(layers.values()) if record else []
        return self._opened_run(x, recorded, {layers[name]: y for name, y in given.items()})

    @property
    def fixed_steps(self) -> int | None:
        """The number of time steps it takes; None when it is free."""
        return self.info.timesteps if self.info.kind == "unrolled" else None

    def run_nodes(
        self,
        x: torch.Tensor,
        forced: Mapping[str, torch.Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        output: str,
    ) -> dict[str, torch.Tensor]:
        """Own outputs of the nodes of ``shapes``, those behind a node in ``forced`` fed with its value; the
        network's output goes by the name ``output``.

        Raises:
            DataError: the model has no such nodes, or of other shapes.
        """
        nodes = {name: Value(name=name, shape=shape) for name, shape in shapes.items() if name != output}
        replaced = {Value(name=name, shape=tuple(y.shape[2:])): y for name, y in forced.items()}
        trace = self._opened_run(x, list(nodes.values()), replaced)
        return {**trace.records, output: trace.output}

    def _opened_run(
        self, x: torch.Tensor, record: Sequence[Value], forced: Mapping[Value, torch.Tensor]
    ) -> Trace:
        if self.info.kind == "unrolled" and x.shape[0] != self.info.timesteps:
            raise DataError(
                f"'{self._path.name}' is unrolled over {self.info.timesteps} time steps; "
                f"the input has {x.shape[0]}."
            )
        sequences = {self.info.input.name: _checked("the input", x, self.info.input.shape)}
        for node, y in forced.items():
            sequences[node.name + FORCED] = _checked(f"forced '{node.name}'", y, node.shape, *x.shape[:2])
        try:
            outputs = self._run(self._session(record, list(forced)), sequences)
        except _RUNTIME_ERRORS as error:
            text = str(error).partition("\n")[0]
            raise DataError(f"ONNX Runtime cannot run '{self._path}': {text}") from None
        suffix = "" if self.info.kind == "step" else SEQ
        records = {node.name: torch.from_numpy(outputs[node.name + suffix]) for node in record}
        return Trace(output=torch.from_numpy(outputs[self.info.output.name]), records=records)

    def initial_state(self, batch: int) -> Arrays:
        """States of a step model before its first step, by the name of the input that takes them."""
        return {s.input: np.full((batch, *s.shape), s.start, np.float32) for s in self.info.states}

    def step(self, frame: Array, state: Arrays) -> tuple[Array, Arrays]:
        """One step of a step model: ``frame [B, *shape]`` and the states before it to the output and the
        states after it.

        Raises:
            DataError: a shape does not fit, or ONNX Runtime refuses the model.
        """
        names = [self.info.output.name, *(s.output for s in self.info.states)]
        try:
            found = self._session((), ()).run(names, {self.info.input.name: frame, **state})
        except _RUNTIME_ERRORS as error:
            text = str(error).partition("\n")[0]
            raise DataError(f"ONNX Runtime cannot run '{self._path}': {text}") from None
        return found[0], dict(zip((s.input for s in self.info.states), found[1:], strict=True))

    def _run(self, session: onnxruntime.InferenceSession, sequences: Arrays) -> Arrays:
        """Outputs over time, ``[T, B, *shape]`` each."""
        names = [value.name for value in session.get_outputs()]
        if self.info.kind != "step":
            return dict(zip(names, session.run(names, sequences), strict=True))
        steps, batch = sequences[self.info.input.name].shape[:2]
        state = self.initial_state(batch)
        kept: dict[str, list[Array]] = {name: [] for name in names}
        for name in (s.output for s in self.info.states):
            del kept[name]
        for t in range(steps):
            now = {name: sequence[t] for name, sequence in sequences.items()}
            found = dict(zip(names, session.run(names, {**now, **state}), strict=True))
            state = {s.input: found[s.output] for s in self.info.states}
            for name, values in kept.items():
                values.append(found[name])
        return {name: np.stack(values) for name, values in kept.items()}

    def _session(self, record: Sequence[Value], forced: Sequence[Value]) -> onnxruntime.InferenceSession:
        key = tuple(tuple(node.name for node in nodes) for nodes in (record, forced))
        if key not in self._sessions:
            for other in [kept for kept in self._sessions if any(kept)]:
                del self._sessions[other]  # each holds the weights once more
            model = opened(self._model, self.info, record=record, forced=forced) if any(key) else self._model
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.inter_op_num_threads = 1
            options.enable_cpu_mem_arena = not any(key)  # an arena keeps the recordings of a run
            options.log_severity_level = _ERRORS_ONLY
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self._sessions[key] = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[key]


def _checked(what: str, x: torch.Tensor, shape: tuple[int, ...], *leading: int) -> Array:
    expected = f"[{', '.join(map(str, leading or ('T', 'B')))}, {', '.join(map(str, shape))}]"
    fits = x.ndim == len(shape) + 2 and x.shape[2:] == shape and x.shape[0] > 0 and x.shape[1] > 0
    if not fits or (leading and x.shape[:2] != leading):
        raise DataError(f"The shape of {what} is {list(x.shape)}; the model needs {expected}.")
    return np.ascontiguousarray(x.detach().cpu().numpy(), dtype=np.float32)


@BACKENDS.register("onnxruntime")
def load(path: Path) -> OnnxRuntime:
    """ONNX Runtime on the CPU, for our models."""
    return OnnxRuntime(path)
