"""Convert an ANN: read it, calibrate for every T of a sweep, measure what was kept, write the folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nir
import torch

from snn_deploy.convert.ann import Ann, MaxPool, Rectifier, Runner
from snn_deploy.convert.calibrate import Converted, calibrate
from snn_deploy.convert.choices import Choices, FineTuning
from snn_deploy.convert.documents import MAX_TIMESTEPS, VERSION, Certificate, SweepRow
from snn_deploy.convert.folder import require_new, write_conversion
from snn_deploy.convert.measure import layer_errors, quantised_ann, scores
from snn_deploy.convert.network import spiking_graph
from snn_deploy.core.chunks import samples_at_once
from snn_deploy.core.errors import ConfigError
from snn_deploy.energy.count import Counter
from snn_deploy.energy.counts import concatenate
from snn_deploy.energy.fanout import fan_out
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.types import WEIGHT_NODES
from snn_deploy.recipes.run_folder import environment
from snn_deploy.simulate.footprint import block_bytes
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.ann import OpenedAnn, open_ann
from snn_deploy.tasks.images import Wanted
from snn_deploy.tasks.own import NOTHING_OWN, Own

if TYPE_CHECKING:
    from torch import nn

SWEEP = (2, 4, 8, 16, 32)
COUNTED = 64
"""Samples whose synaptic operations are counted, and whose layers are compared; our choice."""
AT_ONCE = 64

Report = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Conversion:
    """A converted network: where its folder lies and what its certificate says."""

    path: Path
    certificate: Certificate


def convert_network(
    source: nn.Module | Path | str,
    out: Path | str,
    *,
    data: str | None = None,
    calibration: str | None = None,
    timesteps: int = 8,
    sweep: Sequence[int] = SWEEP,
    samples: int | None = 1000,
    choices: Choices | None = None,
    fine_tuning: FineTuning | None = None,
    resume: bool = False,
    own: Own = NOTHING_OWN,
    overrides: Sequence[str] = (),
    report: Report = lambda line: None,
) -> Conversion:
    """Convert the ANN ``source`` to a spiking network for ``timesteps`` steps, and certify it.

    Args:
        source: a torch module, ``FILE.py:NAME``, an ``.onnx`` file, or a run, whose teacher is meant.
        out: the folder to write; it must be new.
        data: a data set's name, ``FILE.py:NAME``, or a ``.npz`` of test images, with ``calibration``, a
            ``.npz`` of training images. By default that of the run.
        timesteps: T of the network that is written.
        sweep: further T that are measured, each calibrated for itself.
        samples: test images; None for all.
        choices: how; see :class:`snn_deploy.convert.choices.Choices`.
        fine_tuning: train the ANN for ``timesteps`` levels first (:mod:`snn_deploy.tasks.fine_tune`).
        resume: go on with a fine-tuning that was stopped.
        own: weights and arguments of a module.
        overrides: options of the data set, ``data.KEY=VALUE``.
        report: is told what is being done, in sentences and events of the training.

    Raises:
        ConfigError: ``out`` is taken, or no data that fit.
        UnsupportedError: operations that no spiking layer stands for; every one is named.
    """
    how, target = choices or Choices(), Path(out)
    steps = sorted({timesteps, *sweep})
    if not all(1 <= t <= MAX_TIMESTEPS for t in steps):
        raise ConfigError(f"T must be 1 to {MAX_TIMESTEPS}; found {steps[0]} to {steps[-1]}.")
    require_new(target)
    wanted = Wanted(data, calibration, samples, how.images, tuple(overrides))
    opened = open_ann(Path(source) if isinstance(source, str) else source, own, wanted)
    ann, images = opened.ann, opened.images
    decided = scores(Runner(ann), images.test, AT_ONCE).argmax(1)
    report(f"{ann.name}: {len(ann.rectifiers)} layers of neurons; ANN {_share(decided, images.labels):.1%}")
    tuned, told, state = ann, None, target.with_name(f"{target.name}.fine-tuning")
    if fine_tuning is not None:
        from snn_deploy.tasks.fine_tune import fine_tuned  # trains, which files do not need

        tuned, told = fine_tuned(
            ann,
            images,
            timesteps,
            fine_tuning,
            state,
            each_channel=how.each_channel,
            resume=resume,
            report=report,
        )
        after = _share(scores(Runner(tuned), images.test, AT_ONCE).argmax(1), images.labels)
        told |= {"accuracy": after}
        report(f"{timesteps} levels: ANN {after:.1%} after fine-tuning")
    rows, chosen = [], None
    for t in steps:
        converted = calibrate(tuned, images.calibration, t, how, report)
        graph = spiking_graph(converted, images.classes)
        rows.append(_row(opened, converted, graph, decided))
        report(f"T = {t}: quantised {rows[-1].quantised:.1%}, spiking {rows[-1].spiking:.1%}")
        if t == timesteps:
            chosen = converted, graph
    assert chosen is not None
    content = {**_content(opened, chosen[0], tuple(rows), decided), "fine_tuning": told}
    written = write_conversion(target, ann, chosen[1], content)
    if fine_tuning is not None:
        shutil.rmtree(state)
    return Conversion(target, written)


def _row(opened: OpenedAnn, converted: Converted, graph: nir.NIRGraph, decided: torch.Tensor) -> SweepRow:
    images, steps, plan = opened.images, converted.timesteps, make_plan(graph)
    reference = Reference(plan)
    at_once = samples_at_once(4 * block_bytes(plan), at_most=AT_ONCE)
    found = scores(lambda x: _mean_output(reference, x, steps), images.test, at_once).argmax(1)
    return SweepRow(
        timesteps=steps,
        quantised=_share(scores(quantised_ann(converted), images.test, AT_ONCE).argmax(1), images.labels),
        spiking=_share(found, images.labels),
        correct=int((found == images.labels).sum()),
        same_decision=_share(found, decided),
        sops=_sops(reference, images.test[:COUNTED], steps),
    )


def _mean_output(reference: Reference, x: torch.Tensor, steps: int) -> torch.Tensor:
    return reference.run(x.expand(steps, *x.shape)).output.mean(0)


def _sops(reference: Reference, x: torch.Tensor, steps: int) -> float:
    """Synaptic operations per inference."""
    counter = Counter(reference.plan)
    parts = [counter.run(reference, part.expand(steps, *part.shape)) for part in torch.split(x, 8)]
    return float(concatenate(parts).sops().sum(0).mean())


def _macs(ann: Ann) -> float:
    """Multiplications of one inference by weights of the ANN's own; fixed shortcuts are not counted."""
    total = 0
    for name, node in ann.nodes.items():
        if isinstance(node, WEIGHT_NODES) and not node.metadata.get("fixed"):
            entering = ann.shapes[ann.sources[name][0]]
            total += fan_out(node, entering, ann.shapes[name]).dense
    return float(total)


def _share(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found == wanted).double().mean())


def _content(
    opened: OpenedAnn, converted: Converted, rows: tuple[SweepRow, ...], decided: torch.Tensor
) -> dict[str, Any]:
    images, choices = opened.images, converted.choices
    component = images.component
    return {
        "version": VERSION,
        "name": opened.ann.name,
        "ann": opened.provenance,
        "timesteps": converted.timesteps,
        "accuracy": _share(decided, images.labels),
        "correct": int((decided == images.labels).sum()),
        "samples": len(images.labels),
        "calibration": asdict(replace(choices, images=len(images.calibration))),
        "macs": _macs(opened.ann),
        "sweep": [row.model_dump() for row in rows],
        "layers": [row.model_dump() for row in layer_errors(converted, images.test[:COUNTED])],
        "kept": list(_kept(converted)),
        "lost": list(_lost(converted)),
        "notes": list(images.description["notes"]),
        "data": None if component is None else component.model_dump(mode="json"),
        "samples_of": _samples_of(images.description),
        "environment": environment(),
    }


def _samples_of(description: Mapping[str, Any]) -> str:
    return f"{description['samples']} of {description['of']} test samples of {description['name']}"


def _kept(converted: Converted) -> Iterator[str]:
    first = converted.ann.rectifiers[0]
    yield "Convolutions, dense layers, batch norm (folded), sums, average pooling and flattening."
    yield f"'{first}' sees the image in every step: its counts are exactly the quantised activations."
    yield "Neurons reset by subtraction: no charge is lost at a spike."


def _lost(converted: Converted) -> Iterator[str]:
    steps, choices = converted.timesteps, converted.choices
    yield from converted.ann.remarks
    yield f"An activation has {steps + 1} values, 0 to {steps} spikes, and none above its threshold."
    yield "Behind the first layer spikes come unevenly: counts differ from quantised activations (table)."
    if any(isinstance(n, Rectifier) and n.levels for n in converted.ann.nodes.values()):
        yield "The ANN was fine-tuned: it is not what it was, and errors by layer are against what it is now."
    if choices.rounds:
        yield "Weights behind the first layer were corrected on calibration images: they are not the ANN's."
    if maxima := [name for name, node in converted.ann.nodes.items() if isinstance(node, MaxPool)]:
        way = {
            "or": "a neuron that fires when any of its window does: more than the maximum",
            "average": "the mean: less than the maximum",
        }[choices.max_pool]
        yield f"Approximation max-pool-{choices.max_pool}: for the maximum of {', '.join(maxima)} {way}."
    yield "NIR has no field for soft reset and start: --allow reset-in-metadata. ONNX and c-float hold both."
    yield "Lava's neurons reset to 0: for Lava, distil a student from this ANN."
