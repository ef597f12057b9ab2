"""What other people's NIR readers make of a file: the facts that a flavour is written for.

Each entry was found by running the reader of that version, except ``spinnaker2``, whose package is on no
registry: its entry is read from the public source of py-spinnaker2's NIR reader, except the comparison, which
runs on the chip and is taken for NIR's.

A reader steps a neuron as ``h = (1 - k) v + g x`` with the share k = dt / tau (``euler``) or
1 - exp(-dt / tau) (``exponential``). They differ in the gain g that they build from r:

=========== ========================================================================================
``gain``    the reader's g
=========== ========================================================================================
``share``   k: r is ignored and taken for 1
``one``     1: the input is added as it is
``either``  k when r is 1, and 1 when r = tau / dt; anything else is refused
``decay``   exp(-dt / tau_syn): a current adds its input before it decays
``any``     r k, as the equation says
=========== ========================================================================================

An IF has g = 1 in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import nir

from snn_deploy.graph.semantics import Comparison, Integrator, Reset

_COMMON = (
    nir.Input,
    nir.Output,
    nir.Affine,
    nir.Linear,
    nir.Conv2d,
    nir.Flatten,
    nir.IF,
    nir.LIF,
    nir.CubaLIF,
)


@dataclass(frozen=True, slots=True)
class Consumer:
    """One reader.

    Attributes:
        title: name and version.
        nodes: node types that it reads (or that we can rewrite for it).
        dt: the step in seconds it takes when it is not told another.
        resets: kinds of reset it can be made to do.
        gain: see the module text.
        pooling: the one kind of pooling to write.
        padded_pools: pools whose padding it regards.
        dilation: whether it regards the dilation of a convolution.
        linear: whether it reads Linear; else weights get a bias of zero.
        channels_last: whether its tensors are (H, W, C).
        sums: whether it adds several edges into a node; ``inside`` when not at the output.
        depth_first: whether it runs nodes in the order of a depth-first walk along the edge list.
        loops: the loops whose recurrent edges it carries from one step to the next; empty for none.
        typed: whether it reads through the type check of NIR 1.0.6 and later.
        reads_rest: whether v_leak may differ from v_reset.
        late: steps that every spiking layer fires late.
        setup: what its user must do, one sentence each.
    """

    title: str
    nodes: tuple[type[nir.NIRNode], ...]
    dt: float
    integrator: Integrator
    fires_at: Comparison
    resets: tuple[Reset, ...]
    gain: Literal["share", "one", "either", "decay", "any"]
    pooling: Literal["sum", "average"]
    sums: Literal["anywhere", "inside", "nowhere"]
    loops: Literal["", "one neuron", "any"] = ""
    padded_pools: tuple[type[nir.NIRNode], ...] = ()
    depth_first: bool = False
    dilation: bool = True
    linear: bool = True
    channels_last: bool = False
    typed: bool = True
    reads_rest: bool = False
    late: int = 0
    setup: tuple[str, ...] = ()


CONSUMERS: dict[str, Consumer] = {
    "norse": Consumer(
        title="Norse 1.1",
        nodes=(*_COMMON, nir.SumPool2d, nir.Threshold),
        dt=1e-3,
        integrator="euler",
        fires_at=">",
        resets=("zero",),
        gain="share",
        pooling="sum",
        sums="anywhere",
        depth_first=True,
        loops="one neuron",
        setup=("Hand the state of each step to the next: y, state = net(x, state).",),
    ),
    "rockpool": Consumer(
        title="Rockpool 3.1",
        nodes=(nir.Input, nir.Output, nir.Affine, nir.Linear, nir.CubaLIF),
        dt=1.0,
        integrator="exponential",
        fires_at=">=",
        resets=("subtract",),
        gain="decay",
        pooling="sum",
        sums="nowhere",
        typed=False,
        setup=("Give every LIFTorch max_spikes_per_dt = torch.tensor(1.0).",),
    ),
    "sinabs": Consumer(
        title="sinabs 3.1",
        nodes=(*_COMMON, nir.SumPool2d, nir.Threshold),
        dt=1.0,
        integrator="exponential",
        fires_at=">=",
        resets=("subtract", "zero"),
        gain="one",
        pooling="sum",
        sums="anywhere",
        depth_first=True,
        linear=False,
        typed=False,
        setup=(
            "Give every spiking layer spike_fn = sinabs.activation.SingleSpike.",
            "Give every IAFSqueeze min_v_mem = None, or its membrane is clipped at minus the threshold.",
        ),
    ),
    "snntorch": Consumer(
        title="snnTorch 1.0",
        nodes=(*_COMMON, nir.Conv1d, nir.AvgPool2d, nir.SumPool2d, nir.Threshold),
        dt=1e-4,
        integrator="euler",
        fires_at=">",
        resets=("zero",),
        gain="one",
        pooling="average",
        padded_pools=(nir.AvgPool2d,),
        sums="inside",
        setup=("Hand the state of each step to the next: y, state = net(x, state).",),
    ),
    "spikingjelly": Consumer(
        title="SpikingJelly 2.0",
        nodes=(*_COMMON, nir.Conv1d, nir.AvgPool2d),
        dt=1e-4,
        integrator="euler",
        fires_at=">=",
        resets=("zero",),
        gain="either",
        pooling="average",
        padded_pools=(nir.AvgPool2d,),
        sums="inside",
        loops="any",
        setup=("Hand the state of each step to the next: y, state = net(x, state).",),
    ),
    "spinnaker2": Consumer(
        title="py-spinnaker2",
        nodes=(*_COMMON, nir.SumPool2d, nir.Threshold),
        dt=1.0,
        integrator="exponential",
        fires_at=">",
        resets=("subtract", "zero"),
        gain="any",
        pooling="sum",
        sums="anywhere",
        loops="any",
        reads_rest=True,
        setup=(
            "Convert with scale_weights=True: the chip holds weights as 8-bit integers, which rounds them.",
            "A network with convolutions needs conn_delay=0; otherwise every connection is a step late.",
        ),
    ),
    "spyx": Consumer(
        title="Spyx 1.0",
        nodes=(*_COMMON, nir.SumPool2d, nir.Threshold),
        dt=1.0,
        integrator="euler",
        fires_at=">",
        resets=("subtract",),
        gain="one",
        pooling="sum",
        sums="nowhere",
        dilation=False,
        channels_last=True,
        late=1,
        setup=("Feed frames with the channels last: [T, B, H, W, C].",),
    ),
}
"""Readers by the name that ``--for`` takes."""
