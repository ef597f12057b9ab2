"""The hub graph of a converted network: run by the reference simulator, against a simulation written here."""

import nir
import numpy as np
import pytest
import torch
from support.anns import PlainNet, ResidualNet, images, seen, trained
from torch import nn

from snn_deploy.convert.ann import MaxPool, Rectifier, Runner, function_of
from snn_deploy.convert.calibrate import Converted, calibrate
from snn_deploy.convert.choices import Choices
from snn_deploy.convert.from_module import from_module
from snn_deploy.convert.measure import layer_errors, quantised_ann
from snn_deploy.convert.network import spiking_graph
from snn_deploy.graph.passes.for_readers.encoding import PortableEncoding
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import read_nir, write_nir
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.simulate.reference import Reference

T = 6


def spikes_of(converted: Converted, x):
    """Spikes of all layers ``[T, B, ...]`` and the scores, step by step in the ANN's units and float64."""
    ann = converted.ann
    functions = {
        name: function_of(node, torch.float64)
        for name, node in converted.nodes.items()
        if not isinstance(node, Rectifier)
    }
    v, spikes, scores = {}, {name: [] for name in ann.rectifiers}, 0.0
    for _ in range(converted.timesteps):
        values = {ann.input: x.double()}
        for name, node in converted.nodes.items():
            if name == ann.input:
                continue
            z = sum(values[source] for source in ann.sources[name])
            if isinstance(node, Rectifier):
                theta = converted.theta[name].double().view(1, -1, *[1] * (z.ndim - 2))
                start = converted.start[name].double().view(theta.shape)
                v[name] = v.get(name, theta * start) + z
                fire = v[name] >= theta
                v[name] = v[name] - theta * fire
                spikes[name].append(fire)
                values[name] = theta * fire
            elif isinstance(node, MaxPool) and converted.choices.max_pool == "average":
                values[name] = nn.functional.avg_pool2d(z, node.kernel, node.stride, node.padding)
            else:
                values[name] = functions[name](z)
        scores = scores + values[ann.output] / converted.timesteps
    return {name: torch.stack(found) for name, found in spikes.items()}, scores


class PreActivation(nn.Module):
    """A sum that two layers read, of which one is a batch norm; a value in another unit per channel."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(i, 3, 3, padding=1) for i in (1, 3, 3))
        self.norm, self.pool, self.head = nn.BatchNorm2d(3), nn.AvgPool2d(2), nn.Linear(27, 4)

    def forward(self, x):
        x = torch.relu(self.a(x))
        y = self.b(x) + x
        y = self.c(torch.relu(self.norm(y))) + y
        return self.head(torch.relu(self.pool(self.pool(y))).flatten(1))


NETWORKS = [PlainNet, ResidualNet, PreActivation]


@pytest.mark.parametrize("max_pool", ["or", "average"])
@pytest.mark.parametrize("rounds", [0, 2])
@pytest.mark.parametrize("make", NETWORKS)
def test_the_graph_computes_what_was_calibrated(make, rounds, max_pool):
    torch.manual_seed(0)
    ann = from_module(seen(make()), (1, 12, 12))
    x, _ = images(24, seed=5)
    converted = calibrate(ann, x, T, Choices(rounds=rounds, max_pool=max_pool, at_once=7))
    plan = make_plan(spiking_graph(converted, ("a", "b", "c", "d")))
    shown, _ = images(5, seed=6)
    trace = Reference(plan).run(shown.expand(T, *shown.shape), record=True)
    wanted, scores = spikes_of(converted, shown)
    elements = sum(found.numel() for found in wanted.values())
    differing = sum(int((trace.records[name].bool() != found).sum()) for name, found in wanted.items())
    assert differing <= elements * 1e-3  # float32 against float64, where a membrane meets the threshold
    if not differing:
        torch.testing.assert_close(trace.output.mean(0).double(), scores, rtol=1e-3, atol=1e-4)
    semantics = read_semantics(plan.graph)
    assert (semantics.reset, semantics.start, semantics.fires_at) == ("subtract", "zero", ">=")
    assert semantics.timesteps == T


@pytest.mark.parametrize("make", NETWORKS)
def test_the_graph_is_written_read_and_written_again(make, tmp_path):
    torch.manual_seed(0)
    ann = from_module(seen(make()), (1, 12, 12))
    graph = spiking_graph(calibrate(ann, images(8)[0], T, Choices(rounds=0)))
    assert not any(node.metadata for node in graph.nodes.values())
    x, _ = images(3, seed=7)
    wanted = Reference(graph).run(x.expand(T, *x.shape)).output
    for number in range(2):
        write_nir(PortableEncoding()(graph), tmp_path / f"{number}.nir")
        graph = read_nir(tmp_path / f"{number}.nir")
        assert torch.equal(Reference(graph).run(x.expand(T, *x.shape)).output, wanted)


def test_every_spike_takes_one_from_the_membrane():
    torch.manual_seed(0)
    ann = from_module(seen(PlainNet()), (1, 12, 12))
    graph = spiking_graph(calibrate(ann, images(16)[0], T, Choices(rounds=1)))
    for node in graph.nodes.values():
        if isinstance(node, nir.IF):
            assert (np.float32(node.v_threshold) - np.float32(node.v_reset) == 1).all()


def test_the_first_layer_is_exactly_the_quantised_ann():
    torch.manual_seed(0)
    ann = from_module(seen(ResidualNet()), (1, 12, 12))
    x, _ = images(32, seed=1)
    converted = calibrate(ann, x, 8, Choices(rounds=2))
    errors = {row.layer: row for row in layer_errors(converted, images(16, seed=2)[0])}
    first = errors[ann.rectifiers[0]]
    assert first.exact >= 1 - 1e-4
    assert first.arrived == 0
    assert first.unevenness <= 1e-2
    assert errors[ann.rectifiers[-1]].exact < 1


def test_errors_of_a_layer_by_hand():
    """One neuron, currents known: a = 1.25 clips at 1, 0.4 is quantised to 0.5 with T = 2."""
    ann = from_module(nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)), (1,))
    nodes = {**ann.nodes, "0": nir.Affine(np.ones((1, 1), np.float32), np.zeros(1, np.float32))}
    ann = ann.__class__(ann.name, nodes, ann.sources, ann.shapes, ann.input, ann.output)
    theta = {"1": torch.ones(1)}
    converted = Converted(ann, 2, Choices(), nodes, theta, theta, {"1": torch.full((1,), 0.5)})
    (row,) = layer_errors(converted, torch.tensor([[1.25], [0.375]]))
    size = (1.25**2 + 0.375**2) ** 0.5
    assert row.clipping == pytest.approx(0.25 / size)
    assert row.quantisation == pytest.approx(0.125 / size)
    assert row.total == pytest.approx((0.25**2 + 0.125**2) ** 0.5 / size)
    assert (row.arrived, row.unevenness, row.exact) == (0, 0, 1)


@pytest.mark.parametrize("make", [PlainNet, ResidualNet])
def test_a_trained_network_is_kept_and_corrections_help(make):
    module = trained(make)
    ann = from_module(module, (1, 12, 12))
    calibration, _ = images(256, seed=3)
    x, y = images(200, seed=4)
    runner = Runner(ann)

    def accuracy(scores):
        return float((scores.argmax(1) == y).float().mean())

    def converted(timesteps, rounds):
        graph = spiking_graph(calibrate(ann, calibration, timesteps, Choices(rounds=rounds)))
        trace = Reference(graph).run(x.expand(timesteps, *x.shape))
        return trace.output.mean(0)

    assert accuracy(runner(x)) >= 0.97
    assert accuracy(quantised_ann(calibrate(ann, calibration, 8, Choices()))(x)) >= 0.95
    assert accuracy(converted(8, 3)) >= accuracy(runner(x)) - 0.03
    wanted = runner(x)
    plain, better = (float((converted(4, rounds) - wanted).pow(2).mean()) for rounds in (0, 3))
    assert better < 0.7 * plain
