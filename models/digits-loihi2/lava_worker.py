"""Run one ``.net`` file in Lava. Stand-alone: needs numpy, h5py, lava-nc and lava-dl, nothing of snn-deploy.

    python worker.py job.json

The job names ``net``, ``inputs`` (npz with ``x [N, T, *shape]``, integers in C-H-W order), ``out`` (npz to
write), ``report`` (JSON to write), ``input_bits`` (netx's ``input_message_bits``), ``record`` (return every
layer, else the last one) and ``membrane`` (return the last layer's voltage too). The result holds
``spikes0``, ``spikes1``, ... and ``membrane``, each ``[N, T, *shape]`` and aligned with the input: the step
that each synaptic layer costs is taken out.

Samples follow each other in one run, separated by Lava's staggered resets. Resets do not reach what synapses
remember. So networks with recurrence or delays (``isolate``) get one run per sample, in which no neuron can
fire before the sample reaches it: biases are 0 until then.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np


def run_samples(job: dict[str, Any], x: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Run the samples ``x [N, T, *shape]`` one after the other; see the module text for the result."""
    from lava.lib.dl.netx import hdf5
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc import io
    from lava.proc.monitor.process import Monitor

    warnings.filterwarnings("ignore", "Cannot import module")
    samples, steps = x.shape[:2]
    first_has_synapses = first_population(job["net"]) != "input"
    net = hdf5.Network(
        job["net"],
        reset_interval=None if job["isolate"] else steps,
        reset_offset=1 if first_has_synapses else 0,
        input_message_bits=job["input_bits"],
    )
    populations = net.layers if job["record"] else net.layers[-1:]
    delays = [i + first_has_synapses for i in range(len(net.layers))][-len(populations) :]
    total = samples * steps + delays[-1]
    rows = np.zeros((total, *x.shape[2:]), np.int32)
    rows[: samples * steps] = x.reshape(samples * steps, *x.shape[2:])
    source = io.source.RingBuffer(data=rows.transpose(*range(rows.ndim - 1, 0, -1), 0))
    source.s_out.connect(net.inp if first_has_synapses else net.in_layer.neuron.a_in)
    sinks = [io.sink.RingBuffer(shape=population.out.shape, buffer=total) for population in populations]
    for population, sink in zip(populations, sinks, strict=True):
        population.out.connect(sink.a_in)
    monitor = Monitor()
    if job["membrane"]:
        monitor.probe(net.out_layer.neuron.v, total)
    config = Loihi2SimCfg(select_tag="fixed_pt")
    done = wake_one_by_one(net, net.layers[1 - first_has_synapses :], config) if job["isolate"] else 0
    net.run(condition=RunSteps(total - done), run_cfg=config)
    found = {f"spikes{i}": sink.data.get().astype(np.int8) for i, sink in enumerate(sinks)}
    if job["membrane"]:
        (variables,) = monitor.get_data().values()
        found["membrane"] = np.moveaxis(variables["v"], 0, -1)
        delays.append(delays[-1])
    net.stop()
    return {
        name: _aligned(values, delay, samples, steps)
        for (name, values), delay in zip(found.items(), delays, strict=True)
    }


def wake_one_by_one(net: Any, layers: list[Any], config: Any) -> int:
    """Run one step per layer and give each its bias just before the input reaches it; return the steps."""
    from lava.magma.core.run_conditions import RunSteps

    biases = [np.broadcast_to(layer.neuron.bias_mant.init, layer.neuron.bias_mant.shape) for layer in layers]
    for layer in layers:
        layer.neuron.bias_mant.init = 0
    for layer, bias in zip(layers, biases, strict=True):
        net.run(condition=RunSteps(1), run_cfg=config)
        layer.neuron.bias_mant.set(bias.copy())
    return len(layers)


def _aligned(values: np.ndarray[Any, Any], delay: int, samples: int, steps: int) -> np.ndarray[Any, Any]:
    """``[(W, H, C) or N, total]`` to ``[N, T, *shape]`` in C-H-W order, without the pipeline's delay."""
    rows = values.transpose(*range(values.ndim - 1, -1, -1))[delay : delay + samples * steps]
    return np.ascontiguousarray(rows.reshape(samples, steps, *rows.shape[1:]))


def first_population(path: str) -> str:
    """``"input"`` when the first population of the file is an input block with neurons, else its type."""
    import h5py

    with h5py.File(path, "r") as file:
        layers = file["layer"]
        for position in range(len(layers)):
            kind = layers[str(position)]["type"][0].decode()
            if kind not in {"input", "flatten"} or "neuron" in layers[str(position)]:
                return str(kind)
    return ""


def main(job_file: str) -> int:
    """Do the job and write its result and report."""
    import lava_shims  # type: ignore[import-not-found]

    job = json.loads(Path(job_file).read_text())
    with np.load(job["inputs"], allow_pickle=False) as inputs:
        x = inputs["x"]
    lava_shims.install()
    started = time.perf_counter()
    parts = [x[i : i + 1] for i in range(len(x))] if job["isolate"] else [x]
    results = [run_samples(job, part) for part in parts]
    joined = {name: np.concatenate([result[name] for result in results]) for name in results[0]}
    np.savez_compressed(job["out"], allow_pickle=False, **joined)
    report = {"seconds": time.perf_counter() - started, "numpy": np.__version__}
    Path(job["report"]).write_text(json.dumps(report))
    return 0


def end_with(function: Callable[[Any], int], argument: Any) -> NoReturn:
    """End the process with the status that ``function`` returns; if it fails, show why and end at once,
    because an ordinary exit (and ``net.stop()``) would wait for ever for Lava's processes."""
    try:
        status = function(argument)
    except Exception:  # noqa: BLE001
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.exit(status)


if __name__ == "__main__":
    end_with(main, sys.argv[1])
