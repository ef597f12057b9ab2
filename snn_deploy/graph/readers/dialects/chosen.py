"""The dialect of a file: the one that is named, or with ``auto`` the only one whose signs it bears."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import nir

from snn_deploy.core.errors import ConfigError, Problem, did_you_mean
from snn_deploy.graph.readers.dialects.dialect import Dialect, neurons
from snn_deploy.graph.readers.dialects.lava_dl import LAVA_DL
from snn_deploy.graph.readers.dialects.norse import NORSE
from snn_deploy.graph.readers.dialects.rockpool import ROCKPOOL
from snn_deploy.graph.readers.dialects.sinabs import SINABS
from snn_deploy.graph.readers.dialects.snntorch import SNNTORCH
from snn_deploy.graph.readers.dialects.spikingjelly import SPIKINGJELLY
from snn_deploy.graph.readers.dialects.spyx import SPYX
from snn_deploy.graph.semantics import KEY, set_reset
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.timing import Reading

AUTO = "auto"
DIALECTS: dict[str, Dialect] = {
    "lava-dl": LAVA_DL,
    "norse": NORSE,
    "rockpool": ROCKPOOL,
    "sinabs": SINABS,
    "snntorch": SNNTORCH,
    "spikingjelly": SPIKINGJELLY,
    "spyx": SPYX,
}
"""Writers by the name that ``--from`` takes."""


def as_written(
    graph: nir.NIRGraph, reading: Reading, shapes: Mapping[str, Shape]
) -> tuple[Reading, tuple[str, ...]]:
    """Rewrite ``graph`` in place so that it means for us what it means for its writer.

    Returns:
        What is then stated about its discrete time, and a sentence for everything that was assumed.

    Raises:
        ConfigError: an unknown writer, one that cannot be told from the file, options that it does not take,
            neurons that are not there, or a file of ours.
        UnsupportedError, DataError: see the dialects.
    """
    _check_nodes(graph, reading)
    if reading.writer is None:
        _check_alone(reading)
        kinds = dict(reading.resets)
        for place in neurons(graph):
            if place.name in kinds:
                set_reset(place.node, kinds[place.name])
        return reading, ()
    if KEY in graph.metadata:
        raise ConfigError("The file was written by snn-deploy and says what it means; leave --from out.")
    name, how = _writer(graph, reading.writer)
    dialect = DIALECTS[name]
    dialect.check(name, reading)
    meaning = dialect.read(graph, reading, shapes)
    told = replace(
        reading,
        dt=meaning.dt,
        integrator=meaning.integrator,
        fires_at=meaning.fires_at,
        reset=meaning.reset,
        spikes=meaning.spikes,
        v_min=meaning.v_min,
    )
    return told, (*how, *meaning.notes)


def _writer(graph: nir.NIRGraph, writer: str) -> tuple[str, tuple[str, ...]]:
    if writer in DIALECTS:
        return writer, ()
    known = ", ".join([*DIALECTS, AUTO])
    if writer != AUTO:
        near = did_you_mean(writer, [*DIALECTS, AUTO])
        raise ConfigError(f"There is no writer '{writer}'.{near}", hint=f"Known: {known}")
    signs = {name: sign for name, dialect in DIALECTS.items() if (sign := dialect.signs(graph))}
    if len(signs) != 1:
        raise ConfigError(
            "Who wrote the file cannot be told from it.",
            problems=[Problem(f"--from {name}", sign) for name, sign in signs.items()],
            hint=f"Name the writer with --from: {', '.join(DIALECTS)}",
        )
    ((name, sign),) = signs.items()
    return name, (f"The file is taken for one of {DIALECTS[name].title}: {sign}.",)


def _check_alone(reading: Reading) -> None:
    """Fields that mean something for a named writer only."""
    alone = [name for name in ("reset_delay", "norm_input") if getattr(reading, name) is not None]
    if alone:
        options = ", ".join("--" + name.replace("_", "-") for name in alone)
        raise ConfigError(f"{options} go with --from snntorch or sinabs.")


def _check_nodes(graph: nir.NIRGraph, reading: Reading) -> None:
    names = [place.name for place in neurons(graph)]
    problems = [
        Problem(f"--reset {name}={kind}", f"there is no such neuron.{did_you_mean(name, names)}")
        for name, kind in reading.resets
        if name not in names
    ]
    if problems:
        raise ConfigError(
            "These resets cannot be set.", problems=problems, hint=f"Neurons: {', '.join(names)}"
        )
