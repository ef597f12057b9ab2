from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from spikingjelly.activation_based import functional

from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import NeuronOptions, SurrogateOptions


def by_the_equations(inputs: list[float], options: NeuronOptions) -> list[float]:
    """Spikes of one neuron, from the difference equations of the module's text."""
    rest = 0.0 if options.v_reset is None else options.v_reset
    v, spikes = rest, []
    for x in inputs:
        if options.kind == "if":
            h = v + x
        elif options.decay_input:
            h = v + (x - (v - rest)) / options.tau
        else:
            h = v - (v - rest) / options.tau + x
        s = float(h >= options.v_threshold)
        after_spike = h - options.v_threshold if options.v_reset is None else options.v_reset
        v = after_spike if s else h
        spikes.append(s)
    return spikes


# Multiples of 1/8 and tau = 2 keep every sum exact for a few steps, so equality is not a matter of rounding.
dyadic = st.integers(-16, 24).map(lambda n: n / 8)


@given(
    inputs=st.lists(dyadic, min_size=1, max_size=12),
    kind=st.sampled_from(["if", "lif", "plif"]),
    decay_input=st.booleans(),
    v_reset=st.sampled_from([None, 0.0, -0.5, 0.25]),
    v_threshold=st.sampled_from([0.5, 1.0, 1.5]),
)
def test_neurons_follow_their_equations(
    inputs: list[float], kind: str, decay_input: bool, v_reset: float | None, v_threshold: float
) -> None:
    options = NeuronOptions(
        kind=kind, decay_input=decay_input, v_reset=v_reset, v_threshold=v_threshold, tau=2.0
    )
    neuron = make_neuron(options).double()
    output = neuron(torch.tensor(inputs, dtype=torch.float64).reshape(-1, 1, 1))
    assert output.flatten().tolist() == by_the_equations(inputs, options)


def test_a_hand_worked_lif_neuron() -> None:
    # tau 2, decayed input: h = 0.5, 1.0 (spike, v = 0), 0.75, 1.375 (spike)
    neuron = make_neuron(NeuronOptions())
    output = neuron(torch.tensor([1.0, 1.5, 1.5, 2.0]).reshape(4, 1, 1))
    assert output.flatten().tolist() == [0, 1, 0, 1]


def test_state_goes_on_until_it_is_reset() -> None:
    neuron = make_neuron(NeuronOptions(kind="if"))
    x = torch.full((1, 1, 1), 0.5)
    assert [neuron(x).item(), neuron(x).item()] == [0, 1]
    neuron(x)
    functional.reset_net(neuron)
    assert neuron(x).item() == 0


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("name", ["atan", "sigmoid", "triangle", "rectangle"])
def test_surrogate_derivatives_are_those_of_the_table(name: str, alpha: float) -> None:
    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    table = {
        "atan": lambda x: (alpha / 2) / (1 + (math.pi * alpha * x / 2) ** 2),
        "sigmoid": lambda x: alpha * sigmoid(alpha * x) * (1 - sigmoid(alpha * x)),
        "triangle": lambda x: max(0.0, alpha - alpha**2 * abs(x)),
        "rectangle": lambda x: alpha if abs(x) < 1 / (2 * alpha) else 0.0,
    }
    points = [-2.3, -0.9, -0.3, -0.05, 0.0, 0.1, 0.45, 1.7]
    neuron = make_neuron(NeuronOptions(kind="if", surrogate=SurrogateOptions(name=name, alpha=alpha)))
    x = (torch.tensor(points, dtype=torch.float64) + 1.0).requires_grad_()
    neuron.double()(x.reshape(1, -1)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([table[name](p) for p in points], rel=1e-6)


def test_only_plif_learns_its_time_constant() -> None:
    learned = {
        kind: list(make_neuron(NeuronOptions(kind=kind)).parameters()) for kind in ("if", "lif", "plif")
    }
    assert (learned["if"], learned["lif"], len(learned["plif"])) == ([], [], 1)
    plif = make_neuron(NeuronOptions(kind="plif", tau=4.0))
    assert torch.sigmoid(next(plif.parameters())).item() == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    "fault",
    [
        {"tau": 1.0},
        {"v_threshold": 0.0},
        {"v_threshold": 0.5, "v_reset": 0.5},
        {"v_threshold": float("nan")},
        {"kind": "izhikevich"},
        {"tau_m": 2.0},
        {"surrogate": {"name": "atan", "alpha": 0}},
    ],
)
def test_impossible_options_are_refused(fault: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NeuronOptions.model_validate(fault)
