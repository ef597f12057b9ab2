"""What Lava's simulation accepts, and what the chip is documented to hold."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lava_nets import KINDS, random_net

from snn_deploy.graph.lava.net import (
    NEVER_FIRES,
    NON_SPIKING,
    Conv,
    Cuba,
    Dense,
    Flatten,
    Input,
    LavaNet,
    Layer,
    layer_bound,
    row_bounds,
)
from snn_deploy.graph.lava.rules import chip_problems, lossless_dense, simulation_problems
from snn_deploy.simulate.lava.environment import lava_environment

NEURON = Cuba.of(4096, 128, 64)
PER_CHANNEL = replace(NEURON, threshold=np.array([1, 2]))
DENSE = Dense(np.array([[4, -4], [2, 6]]), NEURON, np.array([1, 2]))
CONV = Conv((2, 3, 3), np.full((2, 1, 2, 2), 4), NEURON, np.array([1, -1]))


def _chain(*layers: Layer) -> LavaNet:
    net = LavaNet(layers, ())
    return replace(net, names=tuple(f"n{i}" for i in range(len(net.populations))))


@pytest.mark.parametrize("kind", KINDS)
def test_random_legal_networks_have_no_problems(kind: str) -> None:
    for seed in range(20):
        assert simulation_problems(random_net(seed, kind)) == []


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (_chain(Input((2,)), replace(DENSE, bias=np.array([0, 40_000]))), "bias 0..40000"),
        (_chain(Input((2,)), replace(DENSE, neuron=Cuba.of(4097, 0, 1))), "iDecay 4097"),
        (_chain(Input((2,)), replace(DENSE, neuron=Cuba.of(1, -1, 1))), "vDecay -1"),
        (_chain(Input((2,)), replace(DENSE, neuron=Cuba.of(1, 0, 1 << 24))), "vThMant 16777216"),
        (_chain(Input((2,)), replace(DENSE, neuron=replace(NEURON, threshold=np.arange(3)))), "shape"),
        (_chain(Input((2,)), replace(DENSE, bias=np.arange(3))), "bias of shape"),
        (_chain(Input((2,)), replace(DENSE, delay=np.array([[0, 63], [0, 0]]))), "delay 0..63"),
        (_chain(Input((2,)), replace(DENSE, recurrent=np.array([[2, -2]]))), "recurrent weight"),
        (
            _chain(Input((2,)), replace(DENSE, recurrent=DENSE.weight, delay=np.ones((2, 2), int))),
            "delays beside recurrent weights; rule: netx delays both matrices",
        ),
        (_chain(Input((3,)), DENSE), "after a layer of 3 neurons"),
        (_chain(Input((1, 4, 4)), CONV, Dense(np.ones((2, 18), int), NEURON)), "'flatten' comes between"),
        (_chain(Input((1, 4, 4)), CONV, Flatten((18,)), CONV), "conv after a flat layer"),
        (_chain(CONV), "conv without known input shape"),
        (_chain(Input((3, 4, 4)), CONV), "does not fit 3 input channels"),
        (_chain(Input((1, 9, 9)), CONV), r"geometry gives \(2, 8, 8\)"),
        (_chain(Input((1, 4, 4)), replace(CONV, padding=(128, 0))), "padding"),
        (_chain(Input((2,)), DENSE, Input((2,))), "an input in the middle"),
        (_chain(Input((2,))), "no layer with synapses"),
    ],
)
def test_what_lava_would_refuse_or_change_is_named(net: LavaNet, message: str) -> None:
    problems = simulation_problems(net)
    assert any(re.search(message, str(problem)) for problem in problems), problems


def test_the_sum_of_a_recurrent_layer_is_that_of_one_row() -> None:
    """5 + 2 or 3 + 7, not 5 + 7."""
    layer = Dense(np.array([[5, -1], [-1, 3]]), NEURON, recurrent=np.array([[2, 0], [3, 4]]))
    assert layer_bound(layer, (0, 1)) == 10
    assert layer_bound(layer, (0, 3)) == 15 + 2


def test_more_than_127_groups_are_refused() -> None:
    weight = np.ones((128, 1, 1, 1), int)
    problems = simulation_problems(_chain(Input((128, 2, 2)), Conv((128, 2, 2), weight, NEURON, groups=128)))
    assert [problem.what for problem in problems] == ["groups (128,)"]


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (_chain(Input((2,)), replace(DENSE, bias=np.array([0, 4096]))), "bias 0..4096"),
        (_chain(Input((2,)), replace(DENSE, neuron=NON_SPIKING)), "vThMant 131072"),
        (
            _chain(Input((2,)), replace(DENSE, neuron=replace(NEURON, threshold=np.array([1, 2])))),
            "differ inside",
        ),
        (_chain(Input((1, 4, 4)), replace(CONV, weight=np.full((2, 1, 2, 2), 300))), "weights 300..300"),
        (
            _chain(Input((2,)), replace(DENSE, weight=np.array([[3, -4], [2, 6]]))),
            "odd weights of mixed sign",
        ),
        (_chain(Input((600,)), Dense(np.full((1, 600), 254), NEURON)), "can reach 152400"),
        (
            replace(_chain(Input((20,)), Dense(np.full((1, 20), 254), NEURON)), input_range=(0, 255)),
            "can reach 1295400",
        ),
    ],
)
def test_limits_of_the_chip_are_a_verdict_of_their_own(net: LavaNet, message: str) -> None:
    assert simulation_problems(net) == []
    assert any(message in str(problem) for problem in chip_problems(net))


def test_a_plain_network_is_within_the_limits_of_the_chip() -> None:
    readout = Dense(np.array([[4, -4]]), Cuba.of(4096, 0, NEVER_FIRES))
    assert chip_problems(_chain(Input((2,)), DENSE, readout)) == []


@pytest.mark.parametrize(
    ("weight", "exact"),
    [
        ([[3, -255]], True),
        ([[254, -256]], True),
        ([[255, -2]], False),
        ([[2, -258]], False),
        ([[255, 0]], True),
        ([[256, 0]], False),
        ([[0, 0]], False),
        ([[0, -2]], False),
        ([[-1, -3]], True),
        ([[-255, -1]], True),
        ([[-256, -1]], False),
        ([[-128, -1]], False),
    ],
)
def test_lossless_dense_by_hand(weight: list[list[int]], exact: bool) -> None:
    assert (lossless_dense(np.array(weight)) == "") is exact


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(-3, 0), st.integers(1, 5))
def test_largest_sum_is_reached_and_never_exceeded(seed: int, low: int, high: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-9, 10, (3, 4))
    grids = np.stack(np.meshgrid(*[np.arange(low, high + 1)] * 4), -1).reshape(-1, 4)
    assert np.abs(grids @ weight.T).max() == row_bounds(weight, (low, high)).max()


_LAVA_CHECK = """
import json, sys
import numpy as np
from lava.lib.dl.netx.utils import optimize_weight_bits
from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

def computed(whole, parts):
    with np.errstate(all="ignore"):
        shifted, bits, exponent, _ = optimize_weight_bits(whole)
    columns = np.cumsum([0] + [p.shape[1] for p in parts])
    for part, a, b in zip(parts, columns, columns[1:]):
        stored = shifted[:, a:b]
        mode = determine_sign_mode(stored)
        stored = truncate_weights(clip_weights(stored, mode, num_bits=8), mode, bits)
        if not np.array_equal(stored, part << -exponent if exponent <= 0 else part >> exponent):
            return False
    return True

answers = []
for matrices in json.load(sys.stdin):
    parts = [np.array(m) for m in matrices]
    try:
        answers.append(bool(computed(np.hstack(parts), parts)))
    except (OverflowError, ValueError):
        answers.append(False)
json.dump(answers, sys.stdout)
"""


@pytest.mark.lava
@pytest.mark.skipif(lava_environment() is None, reason="needs the Lava environment")
def test_lossless_rule_allows_only_what_lava_computes_as_stored() -> None:
    """4,000 random matrices, half of them beside a recurrent one, through Lava's own functions."""
    rng = np.random.default_rng(0)
    cases = []
    for number in range(4000):
        low, high = sorted(rng.integers(-300, 300, 2))
        if number % 3 == 0:
            low, high = (max(low, 0), max(high, 1)) if number % 2 else (min(low, -1), min(high, 0))
        parts = [rng.integers(low, high + 1, (3, 3)) for _ in range(1 + number % 2)]
        if number % 5 == 0:
            parts = [np.sign(part) * 2 ** rng.integers(0, 8, part.shape) for part in parts]
        cases.append(parts)
    given_to_lava = json.dumps([[part.tolist() for part in parts] for parts in cases])
    command = [str(lava_environment()), "-W", "ignore", "-c", _LAVA_CHECK]
    done = subprocess.run(command, input=given_to_lava, capture_output=True, text=True, check=True)
    exact = json.loads(done.stdout.splitlines()[-1])
    allowed = [lossless_dense(*parts) == "" for parts in cases]
    assert sum(allowed) > 1000
    wrong = [parts for parts, ours, lavas in zip(cases, allowed, exact, strict=True) if ours and not lavas]
    assert wrong == []
    assert sum(allowed) > 0.9 * sum(exact), "the rule refuses too much that Lava would compute"
