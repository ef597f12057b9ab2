"""The structures of :mod:`support.third_party`, one row each."""

from __future__ import annotations

import nir
import numpy as np

from snn_deploy.graph.timing import Reading
from support.third_party import (
    R,
    Row,
    affine,
    braille,
    conv,
    cuba,
    cut_off,
    dangling,
    delays,
    doorless,
    fire,
    flat,
    full,
    joined,
    lif,
    linear,
    looped,
    nmnist,
    no_type,
    numbered,
    pool,
    resnet,
    rockpool_lif,
    single,
    two_inputs,
)

STEPS = Reading(dt=1.0)
ROWS = [
    Row("one LIF neuron, Norse", lambda: single(nir.Linear(full(3, 1, 1))), (1,), old=True),
    Row("one LIF neuron, Rockpool, an output of (1, 1, 1)", rockpool_lif, (1,), old=True),
    Row(
        "one LIF neuron, Lava, biased",
        lambda: single(nir.Affine(full(3, 1, 1), full(0.05, 1))),
        (1,),
        old=True,
    ),
    Row("N-MNIST CNN, sinabs", nmnist, (10,), notes=("step is 1 s",), old=True),
    Row("N-MNIST CNN, Flatten counts the batch", lambda: nmnist(1), (10,), notes=("batch",), old=True),
    Row("N-MNIST CNN, batch axes in neurons", lambda: nmnist(1, True), (10,), notes=("batch",), old=True),
    Row("Braille, nested, snnTorch", lambda: braille("nested"), (7,), notes=("step is 0.0001 s",), old=True),
    Row("Braille, flat", lambda: braille("flat"), (7,), notes=("step is 0.0001 s",), old=True),
    Row("Braille, flat, no bias", lambda: braille("flat, no bias"), (7,), old=True),
    Row("Braille, nested, no bias", lambda: braille("nested, no bias"), (7,)),
    Row("Braille, an edge twice", lambda: braille("flat, repeated"), refused="fc2 -> lif2: occurs 2 times"),
    Row(
        "Speck, conv IF pool, no Flatten to the end",
        lambda: numbered(
            [conv(4, 2, (8, 8)), fire(4, 8, 8), pool(), conv(8, 4, (4, 4)), fire(8, 4, 4), pool()],
            (2, 8, 8),
            (8, 2, 2),
        ),
        (8, 2, 2),
    ),
    Row(
        "Speck, average pools",
        lambda: numbered(
            [conv(4, 1, (8, 8)), fire(4, 8, 8), pool(nir.AvgPool2d), flat(4, 4, 4), affine(10, 64), fire(10)],
            (1, 8, 8),
            (10,),
        ),
        (10,),
    ),
    Row(
        "Xylo, CUBA neurons with taus of their own",
        lambda: joined(
            {
                "0": linear(6, 4),
                "1": nir.CubaLIF(
                    np.linspace(2e-3, 8e-3, 6), np.linspace(4e-3, 9e-3, 6), full(4, 6), full(0, 6), full(1, 6)
                ),
            },
            (4,),
            (6,),
        ),
        (6,),
        reading=Reading(dt=1e-3),
    ),
    Row(
        "Xylo, two layers, Rockpool's r",
        lambda: joined(
            {
                "0": linear(6, 4),
                "1": cuba(6, dt=1e-3, w_in=None),
                "2": linear(3, 6),
                "3": cuba(3, dt=1e-3, w_in=None),
            },
            (4,),
            (3,),
        ),
        (3,),
        reading=Reading(writer="rockpool"),
    ),
    Row(
        "SpiNNaker2, conv and CUBA",
        lambda: numbered(
            [conv(4, 1, (6, 6), stride=2), cuba(4, 3, 3), flat(4, 3, 3), affine(5, 36), cuba(5)],
            (1, 6, 6),
            (5,),
        ),
        (5,),
    ),
    Row(
        "Oxford spike train, lava-dl",
        lambda: joined(
            {"0": affine(16, 20), "1": cuba(16, dt=1e-3), "2": affine(20, 16), "3": cuba(20, dt=1e-3)},
            (20,),
            (20,),
        ),
        (20,),
    ),
    Row(
        "PilotNet, lava-dl",
        lambda: numbered(
            [
                conv(4, 3, (17, 33), 3, stride=2, padding=0),
                cuba(4, 8, 16),
                conv(6, 4, (8, 16), 3, stride=2, padding=0),
                cuba(6, 3, 7),
                flat(6, 3, 7),
                affine(10, 126),
                cuba(10),
                affine(1, 10),
                nir.LI(full(5e-4, 1), full(5, 1), full(0, 1)),
            ],
            (3, 17, 33),
            (1,),
        ),
        (1,),
    ),
    Row("a delay per channel", delays, (4,), notes=("step is 0.001 s",)),
    Row(
        "Spyx, dense, counted in steps",
        lambda: joined(
            {"0": linear(6, 4), "1": lif(6, dt=1.0, r=0.75), "2": linear(3, 6), "3": lif(3, dt=1.0, r=0.75)},
            (4,),
            (3,),
        ),
        (3,),
        reading=Reading(writer="spyx"),
    ),
    Row(
        "Spyx, conv with padding by name",
        lambda: numbered(
            [
                conv(3, 2, (6, 6), padding="same"),
                fire(3, 6, 6),
                pool(),
                flat(3, 3, 3),
                linear(4, 27),
                fire(4),
            ],
            (2, 6, 6),
            (4,),
        ),
        (4,),
    ),
    Row(
        "snnTorch Sequential",
        lambda: numbered([affine(8, 6), lif(8), affine(4, 8), lif(4)], (6,), (4,)),
        (4,),
        reading=Reading(writer="snntorch"),
    ),
    Row(
        "snnTorch RLeaky, nested",
        lambda: joined(
            {
                "0": affine(6, 4),
                "1": looped(lif(6), affine(6, 6), 6),
            },
            (4,),
            (6,),
        ),
        (6,),
    ),
    Row(
        "snnTorch, beta of one for a layer",
        lambda: joined(
            {"0": affine(5, 4), "1": nir.LIF(full(4e-4, 1), full(4, 1), full(0, 1), full(1, 1))}, (4,), (5,)
        ),
        (5,),
    ),
    Row(
        "SpikingJelly, names with an underscore, float64",
        lambda: joined(
            {
                "_0": affine(6, 5),
                "_1": nir.LIF(np.full(6, 2e-4), np.ones(6), np.zeros(6), np.ones(6), np.zeros(6)),
            },
            (5,),
            (6,),
        ),
        (6,),
        reading=Reading(writer="spikingjelly"),
    ),
    Row(
        "Norse LIFCell without w_in",
        lambda: joined({"0": linear(6, 4), "1": cuba(6, dt=1e-3, w_in=None)}, (4,), (6,)),
        (6,),
        reading=Reading(dt=1e-3),
    ),
    Row("an edge into nothing", dangling, refused="w_rec"),
    Row(
        "a root without a type",
        lambda: joined({"0": affine(2, 2), "1": lif(2)}, (2,), (2,)),
        refused="type",
        damage=no_type,
    ),
    Row("an empty graph", lambda: nir.NIRGraph({}, [], type_check=False), refused="without nodes"),
    Row("no doors", doorless, (5,), notes=("no Input node", "no Output node")),
    Row("a neuron that feeds itself only", cut_off, refused="1: no input reaches this node"),
    Row("two inputs", two_inputs, refused="Input"),
    Row("a residual network", resnet, (10,)),
    Row(
        "Conv1d for sound",
        lambda: joined(
            {
                "c": nir.Conv1d(12, R(4, 2, 3), 2, 1, 1, 1, np.zeros(4, np.float32)),
                "n": lif(4, 6),
                "f": flat(4, 6),
                "w": affine(3, 24),
                "m": lif(3),
            },
            (2, 12),
            (3,),
        ),
        (3,),
    ),
    Row(
        "depthwise convolution",
        lambda: numbered([conv(4, 4, (5, 5), groups=4), lif(4, 5, 5)], (4, 5, 5), (4, 5, 5)),
        (4, 5, 5),
    ),
    Row(
        "kernel of 1 x 5",
        lambda: numbered([conv(3, 2, (5, 5), (1, 5), padding=0), lif(3, 5, 1)], (2, 5, 5), (3, 5, 1)),
        (3, 5, 1),
    ),
    Row(
        "Scale and Threshold",
        lambda: joined(
            {"s": nir.Scale(np.linspace(0.5, 2, 4)), "w": affine(3, 4), "t": nir.Threshold(full(0.3, 3))},
            (4,),
            (3,),
        ),
        (3,),
    ),
    Row(
        "time constants counted in steps, unsaid",
        lambda: joined({"0": affine(5, 4), "1": lif(5, dt=1.0, r=1)}, (4,), (5,)),
        (5,),
        reading=STEPS,
    ),
    Row(
        "a reset elsewhere",
        lambda: joined(
            {
                "0": affine(4, 3),
                "1": nir.LIF(full(4e-4, 4), full(4, 4), full(-0.2, 4), full(1, 4), full(-0.2, 4)),
            },
            (3,),
            (4,),
        ),
        (4,),
    ),
]
