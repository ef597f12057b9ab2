"""Our NIR files in other people's readers, and other people's NIR files in ours."""

from __future__ import annotations

import gc

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional
from support.graphs import conv, graph, lif
from support.passes import portable
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.core.errors import MissingOptionalError, UnsupportedError
from snn_deploy.export.base import Calibration
from snn_deploy.export.foreign import Foreign, readers, run_foreign
from snn_deploy.export.nir import NirWriter
from snn_deploy.export.options import NirOptions
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.readers.io import read_nir, write_nir
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.simulate.base import Executable
from snn_deploy.simulate.reference import Reference

NO_CALIBRATION = Calibration(torch.zeros(1, 1, 1))
EXACT = {
    "LIF": {"snntorch", "norse"},
    "LIF, tau 3": {"snntorch", "norse"},
    "LIF, no decay of the input": {"snntorch"},
    "PLIF": {"snntorch", "norse"},
    "PLIF, no decay": {"snntorch"},
    "IF": {"norse"},
    "CUBA": {"snntorch", "norse"},
    "CUBA, other decays": {"snntorch", "norse"},
}


def exported(name: str, folder):
    net = from_torch(student(NEURONS[name]), IN_SHAPE, semantics=Semantics(timesteps=6))
    NirWriter(NirOptions(allow=("reset-in-metadata",))).write(net, folder, NO_CALIBRATION)
    return net, folder / "model.nir"


@pytest.mark.parametrize("name", NEURONS)
def test_readers_that_claim_to_be_exact_are(name, tmp_path):
    net, path = exported(name, tmp_path)
    assert set(readers(make_plan(read_nir(path)))) == EXACT.get(name, set())
    x = spikes_in(batch=8)
    expected = Reference(net).run(x).output
    assert 0.001 < expected.mean() < 0.999
    for reader in EXACT.get(name, ()):
        pytest.importorskip(reader)
        assert torch.equal(run_foreign(path, x, reader), expected), reader


def test_the_reader_is_stepped_with_its_state(tmp_path):
    """Without threading the state every step would start anew, and the outputs of a constant input agree."""
    pytest.importorskip("snntorch")
    net, path = exported("LIF", tmp_path)
    x = spikes_in(1, 4).repeat(6, 1, 1, 1, 1)
    outputs = run_foreign(path, x)
    assert torch.equal(outputs, Reference(net).run(x).output)
    assert not all(torch.equal(outputs[0], y) for y in outputs)


def test_foreign_readers_are_executables_without_layers(tmp_path):
    pytest.importorskip("norse")
    net, path = exported("IF", tmp_path)
    foreign, x = Foreign(path, "norse"), spikes_in()
    assert isinstance(foreign, Executable)
    assert foreign.layers == ()
    assert torch.equal(foreign.run(x).output, Reference(net).run(x).output)
    with pytest.raises(UnsupportedError, match="cannot force"):
        foreign.run(x, forced={"readout.neuron": x})


def tensor_bytes() -> int:
    kept = [each for each in gc.get_objects() if type(each) in (torch.Tensor, torch.nn.Parameter)]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept}.values())


@pytest.mark.parametrize("reader", ["snntorch", "norse"])
def test_every_run_starts_anew_and_leaves_no_memory_behind(reader, tmp_path):
    pytest.importorskip(reader)
    net, path = exported("LIF", tmp_path)
    foreign, x = Foreign(path, reader), spikes_in(batch=8)
    expected = Reference(net).run(x).output
    assert torch.equal(foreign.run(x).output, expected)
    gc.collect()
    gc.disable()
    try:
        before = tensor_bytes()
        assert all(torch.equal(foreign.run(x).output, expected) for _ in range(3))
        assert tensor_bytes() == before
    finally:
        gc.enable()


def test_residual_sums_are_read_by_both(tmp_path):
    nodes = {
        "stem": conv(3, 2, 8, seed=1),
        "first": lif((3, 8, 8)),
        "conv": conv(3, 3, 8, seed=2),
        "second": lif((3, 8, 8)),
        "head": conv(2, 3, 8, seed=3),
        "last": lif((2, 8, 8)),
    }
    edges = [
        ("input", "stem"), ("stem", "first"), ("first", "conv"), ("conv", "second"), ("second", "head"),
        ("first", "head"), ("head", "last"), ("last", "output"),
    ]  # fmt: skip
    net = graph(nodes, edges, (2, 8, 8), (2, 8, 8))
    write_semantics(net, Semantics(fires_at=">"))
    write_nir(portable(make_plan(net))[0], tmp_path / "model.nir")
    x = spikes_in(shape=(2, 8, 8))
    expected = Reference(net).run(x).output
    assert 0.01 < expected.mean() < 0.99
    for reader in ("snntorch", "norse"):
        pytest.importorskip(reader)
        assert torch.equal(run_foreign(tmp_path / "model.nir", x, reader), expected)


def two_nodes() -> nir.NIRGraph:
    edges = [("input", "c"), ("c", "n"), ("n", "output")]
    net = graph({"c": conv(2, 2, 8), "n": lif((2, 8, 8))}, edges, (2, 8, 8), (2, 8, 8))
    write_semantics(net, Semantics(fires_at=">"))
    return net


def pool(padding: int) -> nir.AvgPool2d:
    return nir.AvgPool2d(np.array([3, 3]), np.array([1, 1]), np.array([padding, padding]))


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (lambda net: None, ("snntorch", "norse")),
        (lambda net: write_semantics(net, Semantics(fires_at=">=")), ("spikingjelly",)),
        (lambda net: write_semantics(net, Semantics(reset="subtract")), ()),
        (lambda net: write_semantics(net, Semantics(integrator="exponential")), ()),
        (lambda net: write_semantics(net, Semantics(dt=5e-5)), ("norse",)),
        (lambda net: setattr(net.nodes["n"], "v_reset", np.full((2, 8, 8), 0.5)), ()),
        (lambda net: setattr(net.nodes["n"], "v_leak", np.full((2, 8, 8), 0.5)), ()),
        (
            lambda net: setattr(net.nodes["n"], "v_threshold", np.linspace(1, 2, 128).reshape(2, 8, 8)),
            ("norse",),
        ),
        (lambda net: setattr(net.nodes["n"], "r", np.full((2, 8, 8), 2.0)), ("snntorch",)),
        (lambda net: net.nodes.update(c=conv(2, 2, 8, groups=2)), ()),
        (lambda net: net.nodes.update(c=pool(1)), ("snntorch",)),
        (lambda net: net.edges.append(("n", "c")), ("norse",)),
    ],
)
def test_graphs_that_a_reader_would_change_silently_are_not_given_to_it(change, left):
    net = two_nodes()
    change(net)
    assert readers(make_plan(net)) == left


def test_a_graph_that_no_reader_executes_is_refused(tmp_path):
    net = two_nodes()
    write_semantics(net, Semantics(reset="subtract"))
    write_nir(portable(make_plan(net))[0], tmp_path / "model.nir")
    with pytest.raises(UnsupportedError, match="cannot be executed exactly by any foreign reader"):
        run_foreign(tmp_path / "model.nir", spikes_in(shape=(2, 8, 8)))


def test_a_reader_that_is_not_installed_is_named(tmp_path, monkeypatch):
    _, path = exported("LIF", tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "snntorch.import_nir", None)
    with pytest.raises(MissingOptionalError, match="snntorch is not installed") as caught:
        Foreign(path, "snntorch")
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("name", sorted({*EXACT, "LIF, v_reset -0.1"}))
def test_spikingjellys_own_export_is_read_exactly(name, tmp_path):
    """nir_exchange (an independent converter) to file, read and simulated by us, against the student."""
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    net = student(NEURONS[name])
    functional.reset_net(net)
    theirs = exchange.export_to_nir(net, spikes_in(1, 1), save_path=tmp_path / "theirs.nir", dt=1e-4)
    assert isinstance(theirs, nir.NIRGraph)
    read = read_nir(tmp_path / "theirs.nir")
    write_semantics(read, Semantics(fires_at=">="))
    x = spikes_in()
    functional.reset_net(net)
    with torch.no_grad():
        expected = net(x)
    assert 0.001 < expected.mean() < 0.999
    assert torch.equal(Reference(read).run(x).output, expected)


@pytest.mark.parametrize("name", ["LIF", "IF", "PLIF", "CUBA"])
def test_spikingjelly_reads_our_file_exactly(name, tmp_path):
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    net = from_torch(student(NEURONS[name], pool=False), IN_SHAPE, semantics=Semantics(timesteps=6))
    NirWriter().write(net, tmp_path, NO_CALIBRATION)
    theirs = exchange.import_from_nir(tmp_path / "model.nir", dt=1e-4)
    functional.set_step_mode(theirs, "s")
    x, state, outputs = spikes_in(), None, []
    with torch.no_grad():
        for x_t in x:
            y, state = theirs(x_t) if state is None else theirs(x_t, state)
            outputs.append(y)
    assert torch.equal(torch.stack(outputs), Reference(net).run(x).output)
