"""Rules on how layers follow each other."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import nir
import numpy as np
import pytest
from support.graphs import conv, graph, lif
from support.limits import limit, limits

from snn_deploy.graph.plan import make_plan
from snn_deploy.hardware.limits import Limits, Structure
from snn_deploy.hardware.network import Network
from snn_deploy.hardware.structure import RULES, structure_findings

MAP = (2, 4, 4)


def linear(out, into):
    return nir.Linear(np.ones((out, into), np.float32))


def pool():
    return nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))


def cuba(shape):
    one = np.ones(shape)
    return nir.CubaLIF(
        tau_syn=2e-4 * one,
        tau_mem=2e-4 * one,
        r=one,
        v_leak=0 * one,
        v_threshold=one,
        v_reset=0 * one,
        w_in=one,
    )


def network(nodes, edges, source, target):
    return Network(make_plan(graph(nodes, edges, source, target)))


def two_layers():
    """Keeps every rule."""
    nodes = {"a": linear(3, 2), "n": lif((3,)), "b": linear(2, 3), "m": lif((2,))}
    return network(nodes, [("input", "a"), ("a", "n"), ("n", "b"), ("b", "m"), ("m", "output")], (2,), (2,))


def pooled_before_neurons():
    nodes = {"c": conv(2, 2, 4), "p": pool(), "n": lif((2, 2, 2))}
    return network(nodes, [("input", "c"), ("c", "p"), ("p", "n"), ("n", "output")], MAP, (2, 2, 2))


def linear_readout():
    nodes = {"a": linear(3, 2), "n": lif((3,)), "b": linear(2, 3)}
    return network(nodes, [("input", "a"), ("a", "n"), ("n", "b"), ("b", "output")], (2,), (2,))


def two_weights_in_a_row():
    nodes = {"a": linear(3, 2), "b": linear(2, 3), "n": lif((2,))}
    return network(nodes, [("input", "a"), ("a", "b"), ("b", "n"), ("n", "output")], (2,), (2,))


def skip_connection():
    nodes = {"a": linear(3, 2), "n": lif((3,)), "b": linear(3, 3), "c": linear(3, 2), "m": lif((3,))}
    edges = [("input", "a"), ("input", "c"), ("a", "n"), ("n", "b"), ("b", "m"), ("c", "m"), ("m", "output")]
    return network(nodes, edges, (2,), (3,))


def current_behind_convolution():
    nodes = {"c": conv(2, 2, 4), "n": cuba(MAP)}
    return network(nodes, [("input", "c"), ("c", "n"), ("n", "output")], MAP, MAP)


def hidden_loop():
    nodes = {"a": linear(3, 2), "n": lif((3,)), "r": linear(3, 3), "b": linear(2, 3), "m": lif((2,))}
    edges = [("input", "a"), ("a", "n"), ("n", "r"), ("r", "n"), ("n", "b"), ("b", "m"), ("m", "output")]
    return network(nodes, edges, (2,), (2,))


def output_loop():
    nodes = {"a": linear(3, 2), "n": lif((3,)), "r": linear(3, 3)}
    return network(nodes, [("input", "a"), ("a", "n"), ("n", "r"), ("r", "n"), ("n", "output")], (2,), (3,))


CASES = [
    ("weights_before_neurons", pooled_before_neurons, "n", "fed by SumPool2d 'p'"),
    ("neurons_after_weights", linear_readout, "b", "feeds Output 'output'"),
    ("neurons_after_weights", two_weights_in_a_row, "a", "feeds Linear 'b'"),
    ("pooling_after_neurons", pooled_before_neurons, "p", "fed by Conv2d 'c'"),
    ("one_weight_layer_per_population", skip_connection, "m", "fed by 2 layers: b, c"),
    ("dense_before_currents", current_behind_convolution, "n", "fed by convolution 'c'"),
    ("no_recurrence", hidden_loop, "r", "fed back from n"),
    ("outputs_not_recurrent", output_loop, "n", "part of the loop"),
    ("two_neuron_layers", output_loop, "network", "1 layer of neurons"),
]


@pytest.mark.parametrize(("rule", "made", "where", "found"), CASES)
def test_breaks(rule, made, where, found):
    (finding,) = structure_findings(made(), limits(structure=limit([rule])))
    assert finding.state == "violated"
    assert (finding.rule, finding.where) in {(rule, where), ("no_recurrence", "n")}
    assert found in finding.found or finding.rule == "no_recurrence"
    assert finding.sentence
    assert finding.try_instead


@pytest.mark.parametrize("rule", get_args(Structure))
def test_keeps(rule):
    assert list(structure_findings(two_layers(), limits(structure=limit([rule])))) == []


def test_a_hidden_loop_is_no_output_loop():
    assert list(structure_findings(hidden_loop(), limits(structure=limit(["outputs_not_recurrent"])))) == []


def test_every_rule_has_a_case():
    assert {rule for rule, *_ in CASES} == set(RULES) == set(get_args(Structure))


def test_unknown_and_absent():
    (finding,) = structure_findings(two_layers(), limits(structure={"value": None, "note": "not public"}))
    assert finding.state == "unknown"
    assert list(structure_findings(two_layers(), Limits())) == []


def test_the_manual_says_what_the_code_says():
    text = (Path(__file__).parents[3] / "docs" / "check.md").read_text()
    for name, (rule, _) in RULES.items():
        assert f"| `{name}` | {rule.__doc__} |" in text
