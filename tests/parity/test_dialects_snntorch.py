"""snnTorch's own exports, read with ``--from snntorch``, against snnTorch itself: no spike may differ."""

from __future__ import annotations

import pytest
import torch
from support.foreign_nets import (
    BATCH,
    HIDDEN,
    INPUTS,
    OUTPUTS,
    STEPS,
    frames,
    stepped,
    weights,
)
from support.snntorch_nets import (
    dense,
    endless,
    exported,
    fading,
    forget,
    leaky,
    mixed,
    one_to_one,
    recurrent,
    recurrent_synaptic,
    snn,
    synaptic,
)
from torch import nn

from snn_deploy.core.errors import ConfigError, SnnDeployError, UnsupportedError
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.timing import Reading
from snn_deploy.simulate.reference import Reference

KINDS = ("subtract", "zero", "none")


def differing(net, path, x, reading):
    plan, notes = read_plan(exported(net, path, x), reading)
    forget(net)
    wanted = stepped(net, x)
    found = Reference(plan).run(x).output
    assert wanted.shape == found.shape
    assert 0.01 < wanted.mean() < 0.99
    return int((wanted != found).sum()), wanted.numel(), notes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("delayed", [True, False])
@pytest.mark.parametrize(
    "neuron", [leaky, fading, endless, mixed, synaptic, recurrent, one_to_one, recurrent_synaptic]
)
def test_no_spike_differs(neuron, delayed, kind, tmp_path):
    x, reading = frames(), Reading(writer="snntorch", reset=kind, reset_delay=delayed)
    impossible = neuron is recurrent_synaptic and not delayed
    net = weights(dense(neuron, reset_mechanism=kind, reset_delay=delayed or impossible), 0.5)
    if impossible:
        with pytest.raises(UnsupportedError, match=r"RSynaptic .* fails with reset_delay=False"):
            read_plan(exported(net, tmp_path / "n.nir", x), reading)
        return
    count, of, notes = differing(net, tmp_path / "n.nir", x, reading)
    assert (count, of) == (0, STEPS * BATCH * OUTPUTS)
    assert not any("do not say" in note for note in notes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("delayed", [True, False])
def test_no_spike_differs_behind_convolutions(delayed, kind, tmp_path):
    how = {"reset_mechanism": kind, "reset_delay": delayed}
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),
        snn.Leaky(beta=torch.full((3, 8, 8), 0.8), threshold=torch.ones(3, 8, 8), init_hidden=True, **how),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(48, OUTPUTS),
        leaky(OUTPUTS, **how),
    )
    weights(net, 0.6)
    reading = Reading(writer="snntorch", reset=kind, reset_delay=delayed)
    count, of, _ = differing(net, tmp_path / "n.nir", frames(1, (2, 8, 8)), reading)
    assert (count, of) == (0, STEPS * BATCH * OUTPUTS)


def test_defaults_are_snntorchs_and_said(tmp_path):
    net, x = weights(dense(leaky), 0.5), frames()
    count, _, notes = differing(net, tmp_path / "n.nir", x, Reading(writer="snntorch"))
    assert count == 0
    assert any("do not say how neurons reset; taken: 'subtract', a step late" in note for note in notes)


def test_layers_may_reset_differently(tmp_path):
    net = nn.Sequential(
        nn.Linear(INPUTS, HIDDEN),
        leaky(HIDDEN, reset_mechanism="zero"),
        nn.Linear(HIDDEN, OUTPUTS),
        leaky(OUTPUTS, reset_mechanism="none"),
    )
    weights(net, 0.4)
    reading = Reading(writer="snntorch", reset="zero", resets=(("3", "none"),))
    assert differing(net, tmp_path / "n.nir", frames(), reading)[0] == 0
    with pytest.raises(ConfigError, match="there is no such neuron") as caught:
        read_plan(tmp_path / "n.nir", Reading(writer="snntorch", resets=(("4", "none"),)))
    assert "Neurons: 1, 3" in caught.value.hint


@pytest.mark.parametrize(
    ("neuron", "sign"), [(recurrent, "recurrent weights called 'w_rec'"), (endless, "infinite tau")]
)
def test_its_signs_are_recognised(neuron, sign, tmp_path):
    net, x = weights(dense(neuron, reset_mechanism="zero"), 0.5), frames()
    count, _, notes = differing(net, tmp_path / "n.nir", x, Reading(writer="auto"))
    assert count > 0, "the kind of reset is not in the file"
    assert any("taken for one of snnTorch 1.0" in note and sign in note for note in notes)


def test_what_could_be_anyones_is_not_guessed(tmp_path):
    net, x = weights(dense(leaky), 0.5), frames()
    path = exported(net, tmp_path / "n.nir", x)
    with pytest.raises(ConfigError, match="Who wrote the file cannot be told from it"):
        read_plan(path, Reading(writer="auto"))
    for reading, text in (
        (Reading(writer="snntorsh"), "Did you mean 'snntorch'"),
        (Reading(writer="snntorch", norm_input=True), "--norm-input: is stated"),
        (Reading(writer="snntorch", reset="subtract-next"), "resets of snnTorch 1.0: subtract, zero, none"),
        (Reading(reset_delay=True), "--reset-delay go with --from snntorch"),
    ):
        with pytest.raises(SnnDeployError) as caught:
            read_plan(path, reading)
        assert text in str(caught.value)
