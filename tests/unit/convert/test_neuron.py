"""The neuron that stands for a rectifier: exact where its current is even, by loops written anew."""

import math

import pytest
import torch

from snn_deploy.convert.neuron import fired, output, quantised, searched, thresholds


def by_hand(current, theta, phi):
    """Spikes of one neuron, in Python numbers."""
    v, spikes = theta * phi, []
    for a in current:
        v += a
        spikes.append(int(v >= theta))
        v -= theta * spikes[-1]
    return spikes


@pytest.mark.parametrize("timesteps", [1, 2, 5, 8, 32])
def test_an_even_current_gives_the_quantised_rectifier_exactly(timesteps):
    """Numbers that float32 holds exactly, so that no rounding blurs the steps."""
    a = torch.arange(-96, 288, dtype=torch.float32).view(-1, 1) / 64
    theta, start = torch.tensor([1.5]), torch.tensor([0.5])
    spikes = fired(a.expand(timesteps, *a.shape), theta, start)
    wanted = [min(max(math.floor(x * timesteps / 1.5 + 0.5), 0), timesteps) for x in a[:, 0].tolist()]
    assert spikes.sum(0)[:, 0].tolist() == wanted
    torch.testing.assert_close(quantised(a, theta, timesteps)[:, 0], 1.5 / timesteps * torch.tensor(wanted))


def test_uneven_currents_by_hand():
    current = torch.tensor([[[0.9, -2.0]], [[-0.8, 1.0]], [[0.3, 3.0]], [[0.7, 3.0]]])
    theta, start = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.25])
    spikes = fired(current, theta, start)
    for channel in (0, 1):
        given = current[:, 0, channel].tolist()
        assert spikes[:, 0, channel].tolist() == by_hand(given, float(theta[channel]), float(start[channel]))
    assert spikes[:, 0].sum(0).tolist() == [1, 2]
    torch.testing.assert_close(output(current, theta, start)[0], torch.tensor([0.25, 1.0]))


def test_a_neuron_that_fires_too_early_gives_more_than_its_mean_current():
    """The unevenness error: what comes first cannot be taken back."""
    current = torch.tensor([1.0, -1.0]).view(2, 1, 1)
    assert float(output(current, torch.ones(1), torch.full((1,), 0.5))) == 0.5
    assert float(quantised(current.mean(0), torch.ones(1), 2)) == 0.0


def test_random_currents_against_loops():
    generator = torch.Generator().manual_seed(0)
    current = torch.randint(-8, 12, (6, 4, 3, 2, 2), generator=generator) / 8
    theta, start = torch.tensor([0.5, 1.0, 1.25]), torch.tensor([0.5, 0.25, -0.5])
    spikes, mean = fired(current, theta, start), output(current, theta, start)
    for b in range(4):
        for c in range(3):
            for i in range(2):
                for j in range(2):
                    wanted = by_hand(current[:, b, c, i, j].tolist(), float(theta[c]), float(start[c]))
                    assert spikes[:, b, c, i, j].tolist() == wanted
                    assert float(mean[b, c, i, j]) == pytest.approx(float(theta[c]) * sum(wanted) / 6)


@pytest.mark.parametrize("each_channel", [True, False])
def test_no_other_share_has_a_smaller_error(each_channel):
    generator = torch.Generator().manual_seed(1)
    a = torch.rand(64, 3, 4, generator=generator).pow(4) * torch.tensor([1.0, 5.0, 0.2]).view(1, 3, 1)
    theta = thresholds(a, 4, each_channel=each_channel)

    def error(theta):
        return (quantised(a, theta, 4) - a).pow(2).mean((0, 2))

    largest = a.amax((0, 2)) if each_channel else a.max().expand(3)
    for share in torch.linspace(0.1, 1.0, 37):
        other = error(largest * share)
        if each_channel:
            assert bool((error(theta) <= other + 1e-9).all())
        else:
            assert float(error(theta).mean()) <= float(other.mean()) + 1e-9
    assert len(theta.unique()) == (3 if each_channel else 1)


def test_a_silent_channel_gets_the_largest_activation_of_its_layer():
    assert (thresholds(torch.zeros(2, 3, 4, 4), 4) > 0).all()
    a = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    a[:, 1], a[0, 2, 0, 0] = 0.0, 2.0
    theta = thresholds(a, 4)
    assert theta[1] == 2.0
    assert torch.equal(theta[[0, 2]], thresholds(a[:, [0, 2]], 4))


def test_the_search_takes_the_best_pair_of_every_channel():
    generator = torch.Generator().manual_seed(2)
    parts = [
        (torch.randn(4, 8, 2, 3, generator=generator), torch.rand(8, 2, 3, generator=generator))
        for _ in range(2)
    ]
    theta, start = torch.tensor([0.5, 1.0]), torch.tensor([0.5, 0.5])
    factors, shifts = (0.5, 1.0, 2.0), (-0.25, 0.0)
    found = searched(iter(parts), theta, start, factors, shifts)
    for channel in (0, 1):
        errors = {
            (f, s): sum(
                float((output(c, theta * f, start + s) - a).pow(2)[:, channel].sum()) for c, a in parts
            )
            for f in factors
            for s in shifts
        }
        factor, shift = min(errors, key=errors.get)
        assert float(found[0][channel]) == float(theta[channel]) * factor
        assert float(found[1][channel]) == float(start[channel]) + shift
