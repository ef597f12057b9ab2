"""Corrections of weights: the normal equations, solved anew by numpy."""

import nir
import numpy as np
import pytest
import torch
from torch.nn import functional

from snn_deploy.convert.weights import Regression, correctable, corrected, rows, windows


def conv(**changes):
    weight = np.random.default_rng(0).normal(size=(3, 2, 3, 3)).astype(np.float32)
    given = {"stride": (2, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1, **changes}
    return nir.Conv2d((7, 6), weight, bias=np.arange(3, dtype=np.float32), **given)


@pytest.mark.parametrize("changes", [{}, {"stride": (1, 1), "padding": "same"}, {"dilation": (2, 1)}])
def test_windows_times_weights_are_the_convolution(changes):
    node = conv(**changes)
    x = torch.randn(4, 2, 7, 6, generator=torch.Generator().manual_seed(0))
    weight = torch.from_numpy(node.weight).flatten(1)
    beta = torch.cat([weight, torch.from_numpy(node.bias)[:, None]], 1)
    wanted = functional.conv2d(
        x,
        torch.from_numpy(node.weight),
        torch.from_numpy(node.bias),
        node.stride,
        node.padding,
        node.dilation,
    )
    torch.testing.assert_close(windows(node, x) @ beta.T, rows(wanted), rtol=1e-4, atol=1e-4)


def test_the_correction_is_the_ridge_regression_of_the_residual():
    node = nir.Affine(np.zeros((2, 3), np.float32), np.zeros(2, np.float32))
    generator = torch.Generator().manual_seed(3)
    x, r = torch.randn(40, 3, generator=generator), torch.randn(40, 2, generator=generator)
    regression, penalty = Regression(0.1), 0.1
    regression.add(windows(node, x[:25]))
    regression.add(windows(node, x[25:]))
    delta = regression.correction((windows(node, x).T @ r).double())
    u = np.hstack([x.numpy(), np.ones((40, 1))])
    gram = u.T @ u
    added = np.append(np.full(3, penalty * np.diag(gram)[:3].mean()), 0.0)
    wanted = np.linalg.solve(gram + np.diag(added), u.T @ r.numpy()).T
    np.testing.assert_allclose(delta.numpy(), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(corrected(node, delta).weight, wanted[:, :3], rtol=1e-5, atol=1e-6)


def test_a_layer_that_was_disturbed_is_found_again():
    node = conv()
    disturbed = nir.Conv2d(
        (7, 6), node.weight + 0.3, node.stride, node.padding, node.dilation, node.groups, node.bias - 1
    )
    x = torch.randn(64, 2, 7, 6, generator=torch.Generator().manual_seed(1))
    weight, bias = torch.from_numpy(node.weight), torch.from_numpy(node.bias)

    def out(node):
        return functional.conv2d(x, torch.tensor(node.weight), torch.tensor(node.bias), (2, 1), 1)

    regression = Regression(1e-9)
    regression.add(windows(node, x))
    residual = functional.conv2d(x, weight, bias, (2, 1), 1) - out(disturbed)
    delta = regression.correction((windows(node, x).T @ rows(residual)).double())
    torch.testing.assert_close(out(corrected(disturbed, delta)), out(node), rtol=1e-3, atol=1e-3)


def test_of_a_grouped_convolution_the_bias_is_corrected():
    node = nir.Conv2d((4, 4), np.ones((2, 1, 1, 1), np.float32), 1, 0, 1, 2, np.zeros(2, np.float32))
    assert windows(node, torch.zeros(1, 2, 4, 4)) is None
    regression, ones = Regression(0.1), torch.ones(32, 1)
    regression.add(ones)
    delta = regression.correction((ones.T @ torch.full((32, 2), 0.25)).double())
    changed = corrected(node, delta)
    np.testing.assert_array_equal(changed.weight, node.weight)
    np.testing.assert_allclose(changed.bias, [0.25, 0.25], rtol=1e-6)


def test_dead_inputs_are_no_fault():
    node = nir.Affine(np.ones((1, 2), np.float32), np.zeros(1, np.float32))
    regression = Regression(1e-2)
    regression.add(windows(node, torch.zeros(5, 2)))
    delta = regression.correction((windows(node, torch.zeros(5, 2)).T @ torch.ones(5, 1)).double())
    assert bool(delta.isfinite().all())
    assert float(delta[0, -1]) == pytest.approx(1.0)


def test_fixed_weights_are_left_alone():
    node = conv()
    assert correctable(node)
    node.metadata["fixed"] = True
    assert not correctable(node)
