"""Our ONNX files in ONNX Runtime, as they are - and opened up, to see and replace what layers exchange.

Without recording the file's own bytes run. To record, the spikes of every layer become outputs of the very
same operators; to force, the operators behind a layer read a new input instead of the layer's output.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from snn_deploy.core.errors import DataError
from snn_deploy.core.memory import return_freed_memory
from snn_deploy.core.registry import BACKENDS
from snn_deploy.graph.types import Trace, given_spikes
from snn_deploy.simulate.base import as_frames
from snn_deploy.simulate.onnx.info import OnnxInfo, StateValue, Value, read_info
from snn_deploy.simulate.onnx.model_file import ModelFile
from snn_deploy.simulate.onnx.part import constants_of
from snn_deploy.simulate.onnx.surgery import FORCED, SEQ, check_interface, open_part, open_up

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
_checked = partial(as_frames, who="the model")

Key = tuple[str, ...]
WHOLE: Key = (FORCED,)
"""The file as it is, nothing recorded, nothing replaced."""
LARGE = 2**26
"""Bytes; larger models that were opened up are not kept between runs: each holds its weights twice. Our
choice."""


class OnnxRuntime:
    """A ``step``, ``scan`` or ``unrolled`` model on one CPU thread.

    Raises:
        DataError: missing, damaged, with external data or operators of other domains, or not ours.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = ModelFile(path)
        model = self._file.checked()
        return_freed_memory()  # that of checking: several times the weights
        properties = {entry.key: entry.value for entry in model.metadata_props}
        self.info: OnnxInfo = read_info(properties, path.name)
        check_interface(model, self.info, path.name)
        self._sessions: dict[Key, onnxruntime.InferenceSession] = {}

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
        for name, y in given.items():
            _checked(f"forced '{name}'", y, layers[name].shape, *x.shape[:2])
        recorded, replaced = list(layers) if record else [], [layers[name] for name in given]
        outputs = self._run(
            (*recorded, FORCED, *given),
            lambda: self._opened([layers[name] for name in recorded], replaced),
            x,
            given,
        )
        records = {name: outputs[self._over_time(name)] for name in recorded}
        return Trace(output=outputs[self.info.output.name], records=records)

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
        network's output goes by the name ``output``. Nothing else is computed.

        Raises:
            DataError: the model has no such nodes, or of other shapes.
        """
        record = {name: shape for name, shape in shapes.items() if name != output}

        def part() -> bytes:
            model = self._file.model()
            open_part(
                model,
                self.info,
                record=record,
                forced=forced,
                shape=lambda name: tuple(forced[name].shape[2:]),
                output=output in shapes,
            )
            return bytes(model.SerializeToString())

        outputs = self._run((*shapes, FORCED, *forced, "/alone"), part, x, forced)
        own = {name: self._over_time(name) for name in record} | {output: self.info.output.name}
        return {name: outputs[own[name]] for name in shapes}

    def constants(self, names: Sequence[str]) -> Iterator[tuple[str, list[Array]]]:
        """The float32 constants that the operator of each node reads; the file is read once for all."""
        model = self._file.model()
        for name in names:
            yield name, constants_of(model, self.info, name)

    def _opened(self, record: Sequence[Value], forced: Sequence[Value]) -> bytes:
        if not record and not forced:
            return self._file.content()
        model = self._file.model()
        open_up(model, self.info, record=record, forced=forced)
        return bytes(model.SerializeToString())

    def _over_time(self, name: str) -> str:
        """What the outputs of a layer that is recorded are called."""
        return name if self.info.kind == "step" else name + SEQ

    def initial_state(self, batch: int) -> Arrays:
        """States of a step model before its first step, by the name of the input that takes them."""
        return _starts(self.info.states, batch)

    def step(self, frame: Array, state: Arrays) -> tuple[Array, Arrays]:
        """One step of a step model: ``frame [B, *shape]`` and the states before it to the output and the
        states after it.

        Raises:
            DataError: a shape does not fit, or ONNX Runtime refuses the model.
        """
        names = [self.info.output.name, *(s.output for s in self.info.states)]
        with self._refusals():
            session = self._session(WHOLE, self._file.content)
            found = session.run(names, {self.info.input.name: frame, **state})
        return found[0], dict(zip((s.input for s in self.info.states), found[1:], strict=True))

    def _run(
        self,
        key: Key,
        build: Callable[[], bytes],
        x: torch.Tensor,
        forced: Mapping[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Outputs ``[T, B, *shape]`` of the session ``key``, which is given what it reads of ``forced``."""
        if self.info.kind == "unrolled" and x.shape[0] != self.info.timesteps:
            raise DataError(
                f"'{self._path.name}' is unrolled over {self.info.timesteps} time steps; "
                f"the input has {x.shape[0]}."
            )
        sequences = {self.info.input.name: _checked("the input", x, self.info.input.shape)}
        with self._refusals():
            session = self._session(key, build)
            inputs = {value.name for value in session.get_inputs()}
            for name in forced:
                if name + FORCED in inputs:
                    y = forced[name]
                    shape = tuple(y.shape[2:])
                    sequences[name + FORCED] = _checked(f"forced '{name}'", y, shape, *x.shape[:2])
            found = self._through_time(session, inputs, sequences)
        return {name: torch.from_numpy(y) for name, y in found.items()}

    def _through_time(
        self, session: onnxruntime.InferenceSession, inputs: Collection[str], sequences: Arrays
    ) -> Arrays:
        names = [value.name for value in session.get_outputs()]
        if self.info.kind != "step":
            return dict(zip(names, session.run(names, sequences), strict=True))
        steps, batch = sequences[self.info.input.name].shape[:2]
        read = [s for s in self.info.states if s.input in inputs]
        carried, state = {s.input: s.output for s in read}, _starts(read, batch)
        kept: Arrays = {}
        for t in range(steps):
            now = {name: sequence[t] for name, sequence in sequences.items()}
            found = dict(zip(names, session.run(names, {**now, **state}), strict=True))
            state = {name: found[after] for name, after in carried.items()}
            if not kept:
                shown = [name for name in names if name not in carried.values()]
                kept = {name: np.empty((steps, *found[name].shape), found[name].dtype) for name in shown}
            for name, y in kept.items():
                y[t] = found[name]
        return kept

    def _session(self, key: Key, build: Callable[[], bytes]) -> onnxruntime.InferenceSession:
        if key in self._sessions:
            return self._sessions[key]
        for other in [kept for kept in self._sessions if kept != WHOLE]:
            del self._sessions[other]  # each holds weights once more
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = key == WHOLE  # an arena keeps the recordings of a run
        options.log_severity_level = _ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if self._path.stat().st_size > LARGE:
            return_freed_memory()  # that of the last run, before weights are held four times
        content, providers = build(), ["CPUExecutionProvider"]
        if len(content) <= LARGE:
            self._sessions[key] = onnxruntime.InferenceSession(content, options, providers=providers)
            return self._sessions[key]
        with tempfile.TemporaryDirectory() as folder:  # a session keeps the bytes that it is given
            path = Path(folder) / "model.onnx"
            path.write_bytes(content)
            del content
            session = onnxruntime.InferenceSession(path, options, providers=providers)
        if key == WHOLE:
            self._sessions[key] = session
        return session

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except _RUNTIME_ERRORS as error:
            text = str(error).partition("\n")[0]
            raise DataError(f"ONNX Runtime cannot run '{self._path}': {text}") from None


def _starts(states: Iterable[StateValue], batch: int) -> Arrays:
    return {s.input: np.full((batch, *s.shape), s.start, np.float32) for s in states}


@BACKENDS.register("onnxruntime")
def load(path: Path) -> OnnxRuntime:
    """ONNX Runtime on the CPU, for our models."""
    return OnnxRuntime(path)
