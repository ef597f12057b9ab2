"""Quantised rectifiers for training: the neuron's equation, its gradients, and the way into a conversion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.anns import PlainNet, ResidualNet, images, trained

from snn_deploy.convert.ann import Rectifier, Runner
from snn_deploy.convert.calibrate import calibrate
from snn_deploy.convert.choices import Choices
from snn_deploy.convert.clip_floor_shift import ClipFloorShift, trained_ann, with_levels
from snn_deploy.convert.from_module import from_module
from snn_deploy.convert.neuron import output, quantised


@pytest.mark.parametrize("levels", [1, 2, 4, 8])
def test_it_is_the_neuron_with_an_even_current(levels):
    generator = torch.Generator().manual_seed(levels)
    theta = 0.5 + torch.rand(6, generator=generator)
    a = 3 * torch.randn(20, 6, 5, 5, generator=generator)
    found = ClipFloorShift(theta, levels)(a)
    start = torch.full((6,), 0.5, dtype=torch.float64)
    counted = output(a.double().expand(levels, *a.shape), theta.double(), start)
    torch.testing.assert_close(found.double(), counted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found, quantised(a, theta, levels), rtol=1e-5, atol=1e-6)


def test_gradients_by_hand():
    """L = 4, theta = 2: steps of 1/2. x = -1 below, 0.9 between (q = 2, share 1/2), 3 above."""
    layer = ClipFloorShift(torch.tensor([2.0]), 4)
    x = torch.tensor([[-1.0], [0.9], [3.0]], requires_grad=True)
    y = layer(x)
    torch.testing.assert_close(y, torch.tensor([[0.0], [1.0], [2.0]]))
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[0.0], [1.0], [0.0]]))
    by_theta = 0 + (2 / 4 - 0.9 / 2) + 1
    torch.testing.assert_close(layer.log_theta.grad, torch.tensor([2.0 * by_theta]))


@pytest.mark.parametrize("make", [PlainNet, ResidualNet])
def test_first_thresholds_are_those_of_the_calibration(make):
    ann, x = from_module(trained(make, 20), (1, 12, 12)), images(64)[0]
    module = with_levels(ann, x, 4)
    converted = calibrate(ann, x, 4, Choices(judged=0.0, rounds=0))
    for name in ann.rectifiers:
        torch.testing.assert_close(module.of(name).theta, converted.even[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [PlainNet, ResidualNet])
def test_the_ann_made_of_it_gives_what_it_gives_and_converts_with_its_thresholds(make):
    ann, x = from_module(trained(make, 20), (1, 12, 12)), images(48)[0]
    module = with_levels(ann, x, 4)
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(1.1)
    tuned = trained_ann(module)
    with torch.no_grad():
        torch.testing.assert_close(Runner(tuned)(x), module(x), rtol=1e-4, atol=1e-4)
    converted = calibrate(tuned, x, 4, Choices(rounds=0))
    for name in tuned.rectifiers:
        node = tuned.nodes[name]
        assert isinstance(node, Rectifier) and node.levels == 4
        np.testing.assert_array_equal(converted.theta[name].numpy(), node.theta)
        np.testing.assert_allclose(node.theta, module.of(name).theta.detach().numpy(), rtol=1e-6)


def test_one_threshold_per_layer():
    ann, x = from_module(trained(PlainNet, 20), (1, 12, 12)), images(32)[0]
    module = with_levels(ann, x, 4, each_channel=False)
    first = module.of(ann.rectifiers[0]).theta
    assert (first == first[0]).all()
