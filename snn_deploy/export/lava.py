"""The format ``lava``: one lava-dl ``.net`` file with 8-bit weights, for Loihi and for Lava's simulation.

The hub graph is lowered (:mod:`snn_deploy.graph.passes.to_chip.loihi`), quantised on calibration samples
(:mod:`snn_deploy.graph.passes.quantize.quantize`) and written. Two claims are then checked apart: our
fixed-point simulator against the network, which rounding makes approximate, and Lava itself against our
simulator, which must be exact.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nir

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.core.registry import FORMATS
from snn_deploy.export.base import Calibration, Check, Written, student_check
from snn_deploy.export.calibration import recorded_spikes
from snn_deploy.export.options import LavaOptions
from snn_deploy.export.pipelines import lowered
from snn_deploy.graph.lava.io import write_net
from snn_deploy.graph.lava.rules import chip_problems
from snn_deploy.graph.passes.protocol import Stage
from snn_deploy.graph.passes.quantize.quantize import Quantize, Quantized, Scales
from snn_deploy.graph.passes.to_chip.from_lava import FromLava
from snn_deploy.graph.passes.to_chip.layers import Chain
from snn_deploy.graph.trained_form import TrainedForm, read_trained_form
from snn_deploy.simulate.lava.install import INSTALLER, SHIMS
from snn_deploy.simulate.lava.jobs import WORKER

FILE = "model.net"
RUNTIME = {WORKER: "lava_worker.py", SHIMS: "lava_shims.py", INSTALLER: "install_lava.py"}
"""Files of the runtime, and what they are called in a bundle."""
CALIBRATION_SAMPLES = 64


class LavaWriter:
    """Writes ``model.net``, and beside it what ``run_lava.py`` imports."""

    def __init__(self, options: LavaOptions) -> None:
        self._bits, self._scales = options.bits, options.scales

    def check(self, graph: nir.NIRGraph) -> list[Problem]:
        """Everything that a ``.net`` file cannot say, by node."""
        problems = list(_not_as_trained(read_trained_form(graph), self._bits, self._scales))
        try:
            lowered(graph)
        except UnsupportedError as error:
            problems += error.problems
        return problems

    def write(self, graph: nir.NIRGraph, folder: Path, calibration: Calibration) -> Written:
        """Lower, quantise and write ``graph``.

        Raises:
            UnsupportedError: with all problems of :meth:`check`, or the layers that cannot be quantised.
        """
        trained = read_trained_form(graph)
        if problems := list(_not_as_trained(trained, self._bits, self._scales)):
            raise UnsupportedError("The network was trained in another form.", problems=problems)
        bits = self._bits or (8 if trained is None else trained.bits)
        chain = lowered(graph)
        x = calibration.x[:, :CALIBRATION_SAMPLES].float()
        spikes = recorded_spikes(graph, x)
        stage = chain.then(Quantize(x, spikes, bits=bits, scales=self._scales, trained=trained))
        quantized = stage.subject
        write_net(quantized.net, folder / FILE)
        for source, name in RUNTIME.items():
            shutil.copyfile(source, folder / name)
        return Written(
            files={
                "net": FILE,
                "worker": RUNTIME[WORKER],
                "shims": RUNTIME[SHIMS],
                "installer": RUNTIME[INSTALLER],
            },
            checks=(
                Check("net", "loihi", exact=False),
                *student_check(graph, "net", "loihi", exact=True),
                Check("net", "lava", reference="loihi"),
            ),
            passes=stage.passes,
            approximations=(*quantized.notes, *_beyond_the_chip(stage)),
            tables={"quantisation": _table(stage)},
            lowered=_lowered(chain.subject, quantized),
        )


def _not_as_trained(trained: TrainedForm | None, bits: int | None, scales: Scales) -> Iterator[Problem]:
    if trained is None:
        return
    rule = "what is exported is what was trained"
    if bits not in {None, trained.bits}:
        yield Problem(
            "weights",
            f"were trained as {trained.bits}-bit integers for {trained.target}; {bits} bits are asked for",
            rule,
            try_instead=f"leave the bits out, or train with target.bits={bits}",
        )
    if scales != "layer":
        what = f"were trained for {trained.target} with one scale per layer"
        yield Problem("weights", what, rule, try_instead="leave the scales out")


def _beyond_the_chip(stage: Stage[Quantized]) -> list[str]:
    """Published limits of the chip that the network exceeds, although Lava's simulation runs it."""
    problems = map(stage.named, chip_problems(stage.subject.net))
    return [f"Beyond the published limits of Loihi: {problem}." for problem in problems]


def _table(stage: Stage[Quantized]) -> list[dict[str, Any]]:
    """The table of rounding errors, with the author's nodes that every layer was made of."""
    return [{**row, "made of": list(stage.authors[row["layer"]])} for row in stage.subject.table]


def _lowered(chain: Chain, quantized: Quantized) -> nir.NIRGraph | None:
    """The graph of the integer network; None where NIR cannot say it."""
    try:
        return FromLava(quantized.scales, [layer.weights_name for layer in chain.layers])(quantized.net)
    except UnsupportedError:
        return None


@FORMATS.register("lava")
def writer(options: LavaOptions) -> LavaWriter:
    """The writer of the format ``lava``."""
    return LavaWriter(options)
