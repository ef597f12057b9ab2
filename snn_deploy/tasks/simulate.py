"""Run a network in a backend on samples and compare it, layer by layer, with what it should do.

Lava is compared with our fixed-point simulator of the same file, spike by spike; a ``.net`` file in real
numbers with that simulator too; everything else with the student or its graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from snn_deploy.core.chunks import in_chunks, samples_at_once
from snn_deploy.core.errors import ConfigError, ParityError
from snn_deploy.core.registry import BACKENDS
from snn_deploy.data.types import DataSet
from snn_deploy.export.parity import compared_layers, decisions
from snn_deploy.export.verify import CHUNK
from snn_deploy.graph.types import Trace
from snn_deploy.processes.world import ALONE, World
from snn_deploy.simulate.base import Executable
from snn_deploy.simulate.footprint import FLOAT, trace_bytes
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.simulate.onnx.models import MODELS
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.samples import load_samples
from snn_deploy.tasks.source import Source

COPIES = 4
"""Traces that there are at one time: two runs' own, and what they are made of and compared in."""
INTEGERS = {"lava": "Lava", "c": "the C code"}
"""Backends that must fire every spike of our fixed-point simulator, as texts name them."""


@dataclass(frozen=True, slots=True)
class LayerSpikes:
    """One layer of a simulation; ``expected`` and the rest are None where it was compared with nothing.

    Attributes:
        layer: its name.
        elements: neurons x steps x samples.
        spikes, expected: spikes of the backend, and of what it is compared with.
        differing: elements that differ.
        first: (sample, step, neuron) of the first that differs, all counted from 0.
    """

    layer: str
    elements: int
    spikes: int
    expected: int | None = None
    differing: int | None = None
    first: tuple[int, int, int] | None = None

    def __add__(self, later: LayerSpikes) -> LayerSpikes:
        """The same layer on further samples."""
        known = self.expected is not None and later.expected is not None
        return replace(
            self,
            elements=self.elements + later.elements,
            spikes=self.spikes + later.spikes,
            expected=(self.expected or 0) + (later.expected or 0) if known else None,
            differing=(self.differing or 0) + (later.differing or 0) if known else None,
            first=self.first or later.first,
        )


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a simulation showed. Rates are spikes per neuron and step; accuracy is a fraction.

    ``against`` says what it is compared with: ``reference``, ``module``, ``loihi``, or nothing; ``notes``
    what was assumed of the network, how the data became frames, and what makes the run doubtful.
    """

    backend: str
    against: str | None
    samples: int
    timesteps: int
    accuracy: float | None
    accuracy_reference: float | None
    same_decision: int | None
    spikes_compared: int
    spikes_differing: int
    rates: dict[str, float]
    layers: tuple[LayerSpikes, ...] = field(default=())
    notes: tuple[str, ...] = ()

    def require_equal(self) -> None:
        """Lava, or the C code of integers, and our simulator must agree in every spike.

        Raises:
            ParityError: they do not.
        """
        wrong = next((layer for layer in self.layers if layer.differing), None)
        if self.backend in INTEGERS and wrong is not None and wrong.first is not None:
            sample, step, neuron = wrong.first
            raise ParityError(
                f"{self.spikes_differing} spikes differ between {INTEGERS[self.backend]} and our simulator, "
                f"first in '{wrong.layer}' at step {step} of sample {sample}, neuron {neuron}.",
                hint="Please report it, with the .net file and the samples.",
            )


def simulate_source(
    source: Source,
    backend: str,
    *,
    data: DataSet | str | None,
    samples: int | None,
    overrides: Sequence[str] = (),
    world: World = ALONE,
) -> Simulation:
    """Run ``source`` in ``backend`` on test samples; see the module text. The processes of ``world`` run
    successive parts of the samples; all get the figures of the whole. Memory holds as many samples at once as
    :func:`snn_deploy.core.memory.budget` allows; results do not depend on it.

    Raises:
        ConfigError: the source holds no file for that backend.
        OutOfMemoryError: memory does not suffice for one sample.
    """
    candidate = open_backend(source, backend)
    judge, against = _judge(source, backend)
    given = load_samples(source, data, samples, overrides)
    loaded = given.test
    first, end = (len(loaded) * (world.rank + n) // world.size for n in (0, 1))

    def part(chosen: slice) -> tuple[list[LayerSpikes], torch.Tensor]:
        x = loaded.x[:, first + chosen.start : first + chosen.stop]
        trace = candidate.run(x, record=True)
        decided = [decisions(trace.output, loaded.decode)]
        spikes = {name: trace.records[name].bool() for name in candidate.layers}
        del trace
        wanted = judge.run(x, record=True) if judge is not None else None
        if wanted is not None:
            decided.append(decisions(wanted.output, loaded.decode))
        rows = [_layer(name, spikes[name], wanted, first + chosen.start) for name in candidate.layers]
        return rows, torch.stack(decided)

    decided = torch.zeros((1 if judge is None else 2, len(loaded)), dtype=torch.int64)
    layers: list[LayerSpikes] | None = None
    at_once = samples_at_once(COPIES * _trace_bytes(source, len(loaded.x)), at_most=CHUNK)
    for chosen, (seen, classes) in in_chunks(end - first, at_once, part):
        layers = seen if layers is None else [a + b for a, b in zip(layers, seen, strict=True)]
        decided[:, first + chosen.start : first + chosen.stop] = classes
    found, *expected = world.sum(decided)
    rows = tuple(_of_all(layers, candidate.layers, world))
    return Simulation(
        backend=backend,
        against=against,
        samples=len(loaded),
        timesteps=int(loaded.x.shape[0]),
        accuracy=loaded.accuracy(found),
        accuracy_reference=loaded.accuracy(expected[0]) if expected else None,
        same_decision=int((found == expected[0]).sum()) if expected else None,
        spikes_compared=sum(row.elements for row in rows if row.differing is not None),
        spikes_differing=sum(row.differing or 0 for row in rows),
        rates={row.layer: row.spikes / row.elements for row in rows},
        layers=rows,
        notes=(
            *(source.assumptions if source.kind != "net" or backend == "reference" else ()),
            given.description["frames"],
            *source.warnings(int(loaded.x.shape[0])),
        ),
    )


def default_backend(source: Source) -> str:
    """``loihi`` for a ``.net`` file; of a bundle without a NIR file what runs its first file; else
    ``reference``."""
    if source.kind == "net":
        return "loihi"
    first = next(iter(source.manifest["formats"]), "nir") if source.manifest is not None else "nir"
    written = source.manifest["formats"] if source.manifest is not None else {"nir": {}}
    return "reference" if "nir" in written else {"onnx": "onnxruntime", "lava": "loihi"}.get(first, first)


def open_backend(source: Source, backend: str) -> Executable:
    """The file of a bundle, or the ``.nir`` or ``.net`` file, that ``backend`` runs, opened in it.

    Raises:
        ConfigError: the source holds no file for that backend.
    """
    entry = BACKENDS.get(backend)
    if source.kind == "net" and backend == "loihi":
        return source.executable
    if source.kind == "net" and backend == "reference" and source.refusal is not None:
        raise source.refusal
    if source.kind in {"nir", "net", "module", "conversion"} and backend == "reference":
        return Reference(source.plan)
    if source.kind == "net" and backend == "lava":
        return _opened(entry.factory(source.path))
    if source.manifest is None:
        raise ConfigError(
            f"'{source.path}' is a {source.kind}; backend '{backend}' runs the files of a bundle.",
            hint=f"Export first: snn-deploy export {source.path} --to nir,onnx,lava",
        )
    wanted = {
        "reference": ("nir", ("model",)),
        "onnxruntime": ("onnx", ("scan", *MODELS)),
        "c": ("c", ("net",)),
        "c-float": ("c-float", ("model",)),
    }
    integers = "c" if backend == "loihi" and "lava" not in source.manifest["formats"] else "lava"
    name, roles = wanted.get(backend, (integers, ("net",)))
    files = source.manifest["formats"].get(name, {}).get("files", {})
    role = next((role for role in roles if role in files), None)
    if role is None:
        raise ConfigError(
            f"The bundle '{source.path}' holds no {name} file, which backend '{backend}' runs.",
            hint=f"Export again with --to {name}.",
        )
    return _opened(entry.factory(source.path / Path(files[role]).name))


def _opened(executable: Executable) -> Executable:
    return executable


def _judge(source: Source, backend: str) -> tuple[Executable | None, str | None]:
    """What ``backend`` is compared with, and its name."""
    if backend in INTEGERS:
        return open_backend(source, "loihi"), "loihi"
    if source.kind == "net":
        return (None, None) if backend == "loihi" else (source.executable, "loihi")
    if source.kind in {"nir", "conversion"} and backend == "reference":
        return None, None  # the same file in the same simulator would show nothing
    return source.executable, "module" if source.kind == "module" else "reference"


def _trace_bytes(source: Source, timesteps: int) -> int:
    """Bytes of one sample's trace."""
    if isinstance(source.executable, Loihi):
        net = source.executable.net
        return timesteps * FLOAT * sum(math.prod(layer.shape) for layer in net.populations)
    return trace_bytes(source.plan, timesteps)


def _layer(name: str, spikes: torch.Tensor, wanted: Trace | None, earlier: int) -> LayerSpikes:
    """The row of a layer that fired ``spikes [T, B, *shape]``, as bits."""
    row = LayerSpikes(name, spikes.numel(), int(spikes.sum()))
    if wanted is None or not compared_layers(wanted.records, {name: spikes}, [name]):
        return row
    expected = wanted.records[name].bool()
    flips = (spikes != expected).flatten(2).transpose(0, 1).nonzero()
    first = None
    if len(flips):
        sample, step, neuron = (int(i) for i in flips[0])
        first = (earlier + sample, step, neuron)
    return replace(row, expected=int(expected.sum()), differing=len(flips), first=first)


def _of_all(
    layers: Sequence[LayerSpikes] | None, names: Sequence[str], world: World
) -> Iterator[LayerSpikes]:
    """Rows of all processes, added; a process without samples has none."""
    if world.size == 1:
        yield from layers or ()
        return
    own = layers or [LayerSpikes(name, 0, 0) for name in names]
    for row in own:
        counts = [row.elements, row.spikes, row.expected or 0, row.differing or 0]
        elements, spikes, expected, differing = world.sum(torch.tensor(counts)).tolist()
        (known,) = world.any(row.expected is not None)
        none = torch.iinfo(torch.int64).max
        sample, step, neuron = row.first or (none, 0, 0)
        earliest = -int(world.max(torch.tensor(-sample)))
        place = world.sum(torch.tensor([step, neuron]) * (sample == earliest)).tolist()
        yield LayerSpikes(
            row.layer,
            elements,
            spikes,
            expected if known else None,
            differing if known else None,
            (earliest, place[0], place[1]) if earliest != none else None,
        )
