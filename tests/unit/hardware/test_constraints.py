"""Every constraint finds what breaks it, with the number, and lets pass what keeps it."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
from support.graphs import graph, lif
from support.limits import judged, limit, limits

from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.graph.shapes import output_shape
from snn_deploy.hardware.constraints import CONSTRAINTS
from snn_deploy.hardware.limits import LayerLimits, Limits
from snn_deploy.hardware.network import Network

DOCS = Path(__file__).parents[3] / "docs" / "check.md"


def network(*nodes, source=(2, 8, 8), reset="zero", extra=()) -> Network:
    """A chain of ``nodes``; ``'lif'`` stands for LIF neurons of the shape that is due."""
    named, edges, previous, shape = {}, [], "input", source
    for i, node in enumerate(nodes):
        made = lif(shape) if isinstance(node, str) else node
        name = f"{type(made).__name__}{i}"
        named[name], shape = made, output_shape(made, shape)
        edges.append((previous, name))
        previous = name
    made = graph(named, [*edges, *extra, (previous, "output")], source, shape)
    write_semantics(made, Semantics(reset=reset))
    return Network(make_plan(made))


def conv(out=4, into=2, *, kernel=(3, 3), stride=1, padding=1, dilation=1, groups=1):
    weight = np.random.default_rng(0).normal(size=(out, into // groups, *kernel)).astype(np.float32)
    return nir.Conv2d(None, weight, stride, padding, dilation, groups, np.zeros(out, np.float32))


def pool(kernel, stride=None, padding=(0, 0), kind=nir.SumPool2d):
    return kind(np.array(kernel), np.array(stride or kernel), np.array(padding))


def flat():
    return nir.Flatten({"input": None}, 0, -1)


def dense(out, into, value=None):
    weight = np.arange(1, out * into + 1, dtype=np.float32).reshape(out, into)
    return nir.Linear(weight if value is None else np.full((out, into), value, np.float32))


PLAIN = (conv(), "lif", flat(), dense(5, 256), "lif")
CASES = {
    "operators": (PLAIN, ["Conv2d", "Flatten", "Linear"], ["Conv2d", "Flatten"], "Linear", "Conv2d, Flatten"),
    "neurons": (PLAIN, ["LIF"], ["IF"], "LIF neurons", "IF"),
    "resets": (PLAIN, ["zero"], ["subtract"], "reset: zero", "subtract"),
    "kernel_max": ((conv(kernel=(3, 5)), "lif"), 5, 4, "kernel 3x5", "at most 4"),
    "kernel_sizes": ((conv(kernel=(3, 5)), "lif"), [3, 5], [1, 3], "kernel 3x5", "1, 3"),
    "strides": ((conv(stride=(1, 3)), "lif"), [1, 3], [1, 2], "stride 1x3", "1, 2"),
    "padding_max": ((conv(padding=(0, 2)), "lif"), 2, 1, "padding 0x2", "at most 1"),
    "dilations": ((conv(dilation=2), "lif"), [1, 2], [1], "dilation 2x2", "1"),
    "groups": ((conv(groups=2), "lif"), [1, 2], [1], "2 groups", "1"),
    "channels_in": ((conv(), "lif"), [2], [1, 3], "2 input channels", "1, 3"),
    "channels_max": ((conv(out=9), "lif"), 9, 8, "9 channels", "at most 8"),
    "input_size_max": ((conv(), "lif"), 8, 7, "input 8x8", "at most 7"),
    "input_size_min": ((conv(), "lif"), 8, 9, "input 8x8", "at least 9"),
    "output_size_max": ((conv(stride=2), "lif"), 4, 3, "output 4x4", "at most 3"),
    "dense_inputs_max": (PLAIN, 256, 255, "256 inputs", "at most 255"),
    "pool_sizes": ((conv(), "lif", pool((2, 4))), [2, 4], [1, 2], "window 2x4", "1, 2"),
    "pool_global_max": ((conv(), "lif", pool((8, 8))), 8, 7, "average over 8x8", "at most 7"),
    "fan_in": (PLAIN, 256, 255, "256 synapses into a neuron", "at most 255"),
    "fan_out": (PLAIN, 36, 35, "36 synapses from a neuron", "at most 35"),
    "weight_levels": ((flat(), dense(3, 128), "lif"), 128, 4, "128 different weights", "at most 4"),
    "neurons_per_chip": (PLAIN, 261, 260, "261 neurons", "at most 260"),
}


@pytest.mark.parametrize("field", CASES)
def test_keeps_and_breaks(field):
    nodes, enough, too_little, found, allowed = CASES[field]
    net = network(*nodes)
    assert [f for f in judged(net, limits(**{field: enough})) if f.rule == field] == []
    broken = [f for f in judged(net, limits(**{field: too_little})) if f.rule == field]
    assert broken
    assert {f.state for f in broken} == {"violated"}
    assert (broken[0].found, broken[0].limit) == (found, allowed)
    assert broken[0].source == "A. Author, A datasheet, 2020, Table 1 (grade A)"
    assert broken[0].try_instead
    assert broken[0].where in {*net.plan.order, "network"}


@pytest.mark.parametrize(
    ("field", "value", "nodes", "found"),
    [
        ("square_kernels", True, (conv(kernel=(3, 5)), "lif"), "kernel 3x5"),
        ("square_kernels", True, (conv(), "lif", pool((2, 4))), "window 2x4"),
        ("pool_stride", "kernel", (conv(), "lif", pool((3, 3), (2, 2))), "stride 2x2 for windows of 3x3"),
        ("pool_stride", "kernel", (conv(), "lif", pool((2, 2), padding=(1, 1))), "padded windows"),
        ("pool_reach", "global", (conv(), "lif", pool((4, 4))), "window 4x4"),
    ],
)
def test_rules_without_a_number(field, value, nodes, found):
    given = limits(**{field: limit(value)})
    assert judged(network(*PLAIN), given) == []
    assert judged(network(conv(), "lif", pool((8, 8))), given) == []
    (finding,) = judged(network(*nodes), given)
    assert finding.found == found
    assert finding.limit == finding.sentence[0].lower() + finding.sentence[1:-1]


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "kind"),
    [
        (3, 1, 1, "same"),
        (3, 1, 0, "valid"),
        (1, 2, 0, "valid"),
        (3, 2, 1, "1 zeros before, 1 after"),  # on 8 pixels 'same' has no zero before and one after
        (5, 1, 1, "1 zeros before, 1 after"),
    ],
)
def test_paddings_by_name(kernel, stride, padding, kind):
    net = network(conv(kernel=(kernel, kernel), stride=stride, padding=padding), "lif")
    found = judged(net, limits(paddings=["same", "valid"]))
    assert [f.found for f in found] == ([] if kind in {"same", "valid"} else [kind])
    only = judged(net, limits(paddings=["same"]))
    assert bool(only) == (kind != "same")


def test_same_padding_of_a_strided_odd_image():
    """9 pixels, kernel 3, stride 2: 5 outputs, one zero on each side."""
    assert judged(network(conv(stride=2), "lif", source=(2, 9, 9)), limits(paddings=["same"])) == []


def test_filters_by_channels_and_kernel():
    table = [[2, 3, 3], [2, 5, 99], [1, 3, 1]]
    (finding,) = judged(network(conv(), "lif"), limits(filters_by_kernel=table))
    assert finding.found == "2x3x4 (channels x kernel x filters)"
    assert judged(network(conv(out=3), "lif"), limits(filters_by_kernel=table)) == []


def test_the_first_layer_has_limits_of_its_own():
    nodes = (conv(), "lif", conv(4, 4), "lif")
    found = judged(network(*nodes), limits(kernel_sizes=[1], first={"kernel_sizes": [3]}))
    assert [f.where for f in found] == ["Conv2d2"]
    found = judged(network(*nodes), limits(kernel_sizes=[3], first={"kernel_sizes": [1]}))
    assert [f.where for f in found] == ["Conv2d0"]


def test_destinations():
    """The first neurons feed two layers of weights, of which one feeds back."""
    nodes = (flat(), dense(3, 128), "lif", dense(3, 3), "lif")
    back = {"back": nir.Linear(np.eye(3, dtype=np.float32))}
    made = network(*nodes)
    flat_graph = made.plan.graph
    looped = nir.NIRGraph(
        {**flat_graph.nodes, **back},
        [*flat_graph.edges, ("LIF2", "back"), ("back", "LIF2")],
        type_check=False,
    )
    net = Network(make_plan(looped))
    assert judged(net, limits(destinations_max=2)) == []
    (finding,) = judged(net, limits(destinations_max=1))
    assert (finding.where, finding.found) == ("LIF2", "feeds 2 layers")


def test_synapses_between_their_bounds():
    """A convolution stores 72 weights, and unrolls into 4 x 2 x 22 x 22 connections."""
    net = network(conv(), "lif")
    unrolled = 4 * 2 * (3 * 8 - 2) ** 2
    assert judged(net, limits(synapses_per_chip=unrolled)) == []
    (between,) = judged(net, limits(synapses_per_chip=72))
    assert between.state == "unknown"
    assert between.found == f"72 to {unrolled:,} synapses"
    (above,) = judged(net, limits(synapses_per_chip=71))
    assert above.state == "violated"


def test_sources_that_disagree():
    net = network(*PLAIN)
    assert judged(net, limits(neurons_per_chip=[261, 300])) == []
    (between,) = judged(net, limits(neurons_per_chip=[200, 261]))
    assert (between.state, between.limit) == ("unknown", "at most 200 or 261; sources differ")
    (above,) = judged(net, limits(neurons_per_chip=[200, 260]))
    assert above.state == "violated"


def test_an_unknown_limit_is_said_once_and_only_where_it_matters():
    silent = {"value": None, "note": "not public"}
    found = judged(network(*PLAIN), limits(neurons=silent, pool_sizes=silent, strides=silent))
    assert [(f.rule, f.state, f.found) for f in found] == [
        ("strides", "unknown", "strides: not public"),
        ("neurons", "unknown", "neurons: not public"),
    ]


def test_needed_limits_that_are_missing_are_unknown():
    found = judged(network(*PLAIN), Limits())
    assert {f.rule for f in found} == {"operators", "neurons", "resets", "fan_in", "fan_out"}
    assert {f.state for f in found} == {"unknown"}
    assert all("does not state it" in f.found for f in found)


def test_neurons_without_reset_are_not_asked_for_one():
    one = np.ones((2, 8, 8), np.float32)
    nodes = (
        nir.Threshold(one),
        conv(),
        nir.LI(2e-4 * one[:1].repeat(4, 0), one[:1].repeat(4, 0), 0 * one[:1].repeat(4, 0)),
    )
    assert judged(network(*nodes), limits(resets=["subtract"])) == []


def test_sets_of_decays():
    """Three channels, two time constants; one constant and no leak at all need no more than one set."""
    mixed = lif((3, 8, 8))
    mixed.tau = np.array([2e-4, 4e-4, 4e-4]).reshape(3, 1, 1) * np.ones((3, 8, 8))
    net = network(conv(out=3), mixed)
    assert judged(net, limits(decay_sets=2)) == []
    assert [f.found for f in judged(net, limits(decay_sets=1))] == ["2 sets of decays"]
    assert [f.state for f in judged(net, limits(decay_sets=[1, 32]))] == ["unknown"]
    silent = {"value": None, "note": "not public"}
    assert [f.rule for f in judged(net, limits(decay_sets=silent))] == ["decay_sets"]
    assert judged(network(*PLAIN), limits(decay_sets=silent)) == []
    assert judged(network(conv(), nir.Threshold(np.ones((4, 8, 8)))), limits(decay_sets=silent)) == []


def test_every_field_has_a_rule_or_a_reader():
    """A limit that nothing reads would be a promise nobody keeps."""
    ruled = {rule.field for rule in CONSTRAINTS}
    assert ruled <= set(Limits.model_fields)
    package = Path(__file__).parents[3] / "snn_deploy"
    code = "\n".join(
        path.read_text() for path in [*package.rglob("hardware/**/*.py"), package / "tasks" / "check.py"]
    )
    told_only = {"state_bits", "threshold_bits"}
    per_core = {"kernel_memory_per_core", "neuron_memory_per_core", "bias_memory_per_core"}
    assert 'f"{name}_memory_per_core"' in code
    for name in set(Limits.model_fields) - ruled - told_only - per_core:
        assert f"limits.{name}" in code, name
    assert set(LayerLimits.model_fields) - {"weight_bits"} <= ruled


def test_the_manual_says_what_the_code_says():
    text = DOCS.read_text()
    for rule in CONSTRAINTS:
        assert rule.sentence.endswith(".")
        assert f"| `{rule.field}` | {rule.sentence} |" in text
