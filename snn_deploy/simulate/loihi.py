"""Bit-exact simulation of a ``.net`` file: what Lava computes for Loihi, for whole batches at once.

Every population is computed for all steps before the next one, which is possible because the networks are
chains: the synapses of a layer see all ``T x B`` frames in one product, only the neurons step through time.

*Zero-delay* mode (:meth:`Loihi.run`) lets a spike cross all layers within a step, as the trained network
does. *Pipelined* mode (:meth:`Loihi.run_pipelined`) is what Lava does: every synaptic layer costs one step,
and with a reset interval T layer i forgets its state before the steps t (counted from 1) with
``t mod T = (offset + 1 + i) mod T``, so that samples follow each other without gaps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch

from snn_deploy.core.errors import DataError, UnsupportedError
from snn_deploy.core.memory import keep_freed_memory
from snn_deploy.core.registry import BACKENDS
from snn_deploy.graph.later import later
from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.lava.net import STATE_LIMIT, Dense, Input, LavaNet, Pair, Population, neuron_of
from snn_deploy.graph.lava.rules import simulation_problems
from snn_deploy.graph.lava.spans import join, spiking_layers, split
from snn_deploy.graph.types import Trace, given_spikes
from snn_deploy.simulate import cuba, synapse
from snn_deploy.simulate.cuba import UNIT, Activity, Neurons
from snn_deploy.simulate.synapse import Synapses

CHUNK_ELEMENTS = {"cpu": 1 << 19, "cuda": 1 << 26}
"""Samples are taken so many at a time that no layer's activity exceeds this number of elements: what a cache
holds, or what keeps an accelerator busy."""


class Loihi:
    """A network in fixed-point arithmetic; implements :class:`snn_deploy.simulate.base.Executable`.

    Args:
        net: a ``.net`` file, or the network itself.
        device: ``"cpu"`` or a CUDA device.

    Raises:
        DataError: the file cannot be read as a network.
        UnsupportedError: Lava would not compute the network as stored.
    """

    def __init__(self, net: LavaNet | Path, *, device: str | torch.device = "cpu") -> None:
        self.net = net if isinstance(net, LavaNet) else read_net(net)
        if problems := simulation_problems(self.net):
            raise UnsupportedError("Lava would not compute this network as stored.", problems=problems)
        self._device = torch.device(device)
        self._widest = max(
            math.prod(shape)
            for shape in (self.net.input_shape, *(layer.shape for layer in self.net.populations))
        )
        self._prepared: dict[tuple[int, Pair], tuple[Synapses, Neurons]] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the spiking populations, in order."""
        return spiking_layers(self.net)

    @torch.inference_mode()
    def run(
        self, x: torch.Tensor, *, record: bool = False, forced: Mapping[str, torch.Tensor] | None = None
    ) -> Trace:
        """Run ``x [T, B, *shape]`` without delays; see :class:`snn_deploy.simulate.base.Executable`.

        The output is ``[T, B, *shape]``: spikes, or what the network's readout makes of the last membrane.

        Raises:
            ConfigError: ``forced`` names an unknown layer.
            DataError: x has another shape than the network's input, is not on the network's grid of
                integers, or drives the readout into saturation.
        """
        given = given_spikes(forced, self.layers)
        units = input_units(self.net, x)
        keep_freed_memory()
        kept = self.net.names if record else self.net.names[-1:]
        parts: list[dict[str, torch.Tensor]] = []
        membranes = []
        for chosen in self._chunks(units):
            activities = self._activities(
                units[:, chosen].to(self._device),
                {name: value[:, chosen].to(self._device) for name, value in given.items()},
            )
            last = activities[-1].v
            membranes += [] if last is None else [last.cpu()]
            found = zip(self.net.names, activities, strict=True)
            parts.append({name: activity.spikes.cpu() for name, activity in found if name in kept})
        spikes = {name: torch.cat([part[name] for part in parts], 1) for name in kept}
        output = spikes[self.net.names[-1]]
        if self.net.readout is not None:
            output = read_membrane(self.net, torch.cat(membranes, 1), output)
        if not record:
            return Trace(output)
        parts_of_layers = split(self.net, spikes)
        return Trace(output, {name: parts_of_layers[name] for name in self.layers})

    @torch.inference_mode()
    def run_pipelined(
        self,
        x: torch.Tensor,
        *,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        probe: bool = False,
    ) -> dict[str, Activity]:
        """Every population's rows exactly as Lava produces them for the input rows ``x [steps, B, *shape]``.

        ``reset_offset`` is netx's; with 1 (0 for a network driven through its bias) each reset falls between
        two samples of ``reset_interval`` steps.
        """
        units = input_units(self.net, x).to(self._device)
        activities = self._activities(
            units, {}, probe=probe, pipelined=True, reset=(reset_interval, reset_offset)
        )
        return dict(zip(self.net.names, activities, strict=True))

    @torch.inference_mode()
    def probe(self, x: torch.Tensor) -> dict[str, Activity]:
        """Spikes, u and v of every population and step of ``x [T, B, *shape]``, without delays."""
        units = input_units(self.net, x).to(self._device)
        return dict(zip(self.net.names, self._activities(units, {}, probe=True), strict=True))

    def _chunks(self, units: torch.Tensor) -> list[slice]:
        steps, batch = units.shape[:2]
        elements = CHUNK_ELEMENTS.get(self._device.type, CHUNK_ELEMENTS["cpu"])
        size = max(1, elements // (steps * self._widest))
        return [slice(start, start + size) for start in range(0, batch, size)]

    def _activities(
        self,
        units: torch.Tensor,
        forced: Mapping[str, torch.Tensor],
        *,
        probe: bool = False,
        pipelined: bool = False,
        reset: tuple[int | None, int] = (None, 0),
    ) -> list[Activity]:
        """All populations in order; ``reset`` is (interval, offset)."""
        results: list[Activity] = []
        x, input_range = units, _range_of(self.net, units)
        for position, (name, layer) in enumerate(zip(self.net.names, self.net.populations, strict=True)):
            if pipelined and not isinstance(layer, Input):
                x = later(x)
            is_readout = self.net.readout is not None and name == self.net.names[-1]
            resets = _reset_steps(len(x), reset[0], reset[1] + position)
            returned = None
            if forced and isinstance(layer, Dense) and layer.recurrent is not None:
                unknown = x.new_full((*x.shape[:2], *layer.shape), -1.0)
                returned = join(self.net, name, unknown, forced)
            activity = self._population(
                position, layer, x, input_range, resets, probe or is_readout, returned
            )
            results.append(activity)
            x, input_range = join(self.net, name, activity.spikes, forced), (0, 1)
        return results

    def _population(
        self,
        position: int,
        layer: Population,
        x: torch.Tensor,
        input_range: Pair,
        resets: frozenset[int],
        probe: bool,
        returned: torch.Tensor | None,
    ) -> Activity:
        if isinstance(layer, Input):
            neurons = cuba.prepare(neuron_of(layer), None, layer.shape, 0, x.device, driven=True)
            drive = (UNIT * (layer.weight * x + layer.bias)).to(neurons.dtype)
            return cuba.run(neurons, torch.zeros_like(drive), drive=drive, resets=resets, probe=probe)
        key = (position, input_range)
        if key not in self._prepared:
            synapses = synapse.prepare(layer, tuple(x.shape[2:]), input_range, x.device)
            neurons = cuba.prepare(neuron_of(layer), layer.bias, layer.shape, synapses.bound, x.device)
            self._prepared[key] = synapses, neurons
        synapses, neurons = self._prepared[key]
        currents = synapse.currents(synapses, x)
        return cuba.run(
            neurons, currents, recurrent=synapses.recurrent, returned=returned, resets=resets, probe=probe
        )


def _reset_steps(steps: int, interval: int | None, offset: int) -> frozenset[int]:
    """Steps counted from 0 at which Lava, which counts from 1, resets a layer of this ``offset``."""
    if interval is None:
        return frozenset()
    return frozenset(t for t in range(steps) if (t + 1) % interval == (offset + 1) % interval)


def _range_of(net: LavaNet, units: torch.Tensor) -> Pair:
    """The range that inputs really have; never narrower than what the network was made for."""
    if not (net.input_bits or net.analog):
        return net.input_range
    low, high = net.input_range
    smallest, largest = torch.aminmax(units)
    return min(low, int(smallest)), max(high, int(largest))


def input_units(net: LavaNet, x: torch.Tensor) -> torch.Tensor:
    """The integers n that Lava is given for ``x [T, B, *shape] = input_scale n``.

    Raises:
        DataError: the shape differs, x is not finite, or a network of binary input is given something else.
    """
    shape = tuple(x.shape[2:])
    flat = 1 in {len(shape), len(net.input_shape)} and math.prod(shape) == math.prod(net.input_shape)
    if shape != net.input_shape and not flat:
        raise DataError(f"The input has shape {shape}; the network takes {net.input_shape}.")
    x = x.reshape(*x.shape[:2], *net.input_shape)
    if net.input_bits or net.analog:
        if not torch.isfinite(x).all():
            raise DataError("The input holds values that are not finite.")
        return (x.double() / net.input_scale).round_().float()
    spikes = torch.ne(x, 0, out=torch.empty_like(x, dtype=torch.float32))
    if not torch.eq(x, spikes * net.input_scale, out=torch.empty_like(spikes)).all():
        raise DataError(
            "The network takes binary spikes, the input holds other values.",
            hint="Lava would count every non-zero input as one spike. Export with samples of this kind, so "
            "that the first layer is written for graded input.",
        )
    return spikes


def read_membrane(net: LavaNet, v: torch.Tensor, spikes: torch.Tensor) -> torch.Tensor:
    """The network's output ``[T, B, N]`` from the membrane v and the spikes of its last population.

    Raises:
        DataError: the membrane reached the end of its 24 bits or fired, so the output would be wrong.
    """
    assert net.readout is not None
    saturated = (v.abs() >= STATE_LIMIT - 1) | (spikes != 0)
    if saturated.any():
        step, sample = (int(i) for i in saturated.nonzero()[0][:2])
        raise DataError(
            f"The readout '{net.names[-1]}' saturates at step {step} of sample {sample}: its membrane needs "
            "more than 24 bits.",
            hint="Export again with calibration samples and a number of timesteps like these.",
        )
    v = v.double()
    if net.readout.kind == "current":
        v = torch.diff(v, dim=0, prepend=torch.zeros_like(v[:1]))
    return (v / net.readout.scale).float()


@BACKENDS.register("loihi")
def open_loihi(path: Path) -> Loihi:
    """Bit-exact fixed-point simulation of a .net file, whole batches at once."""
    return Loihi(path)
