"""Compiled C against the fixed-point simulator, and against plain loops over integers: every spike."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.loihi_integer import simulate
from support.c_programs import compiled, write_program
from support.lava_nets import KINDS, random_input, random_net

from snn_deploy.core.errors import ConfigError, DataError, MissingOptionalError, UnsupportedError
from snn_deploy.export.c.compiler import SANITIZERS, CError, build
from snn_deploy.export.c.runtime import SOURCE, CProgram
from snn_deploy.graph.lava.net import Conv, Cuba, Dense, Flatten, Input, LavaNet
from snn_deploy.simulate.loihi import Loihi

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
STEPS, BATCH = 9, 3


def inputs(net: LavaNet, seed: int) -> torch.Tensor:
    return torch.from_numpy(random_input(net, seed, STEPS, BATCH)).float() * net.input_scale


def check(net: LavaNet, candidate: CProgram, seed: int) -> int:
    x = inputs(net, seed)
    ours = Loihi(net)
    expected, found = ours.run(x, record=True), candidate.run(x, record=True)
    assert list(found.records) == list(expected.records)
    for name, spikes in expected.records.items():
        assert torch.equal(found.records[name], spikes), name
    assert torch.equal(found.output, expected.output)
    generator = torch.Generator().manual_seed(seed)
    given = {n: (torch.rand(s.shape, generator=generator) < 0.3).float() for n, s in expected.records.items()}
    expected, found = (e.run(x, record=True, forced=given) for e in (ours, candidate))
    for name, spikes in expected.records.items():
        assert torch.equal(found.records[name], spikes), f"{name}, given what it sees"
    return sum(int(spikes.sum()) for spikes in expected.records.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_spike_is_the_simulators(kind, seed, tmp_path):
    net = random_net(seed, kind)
    assert check(net, compiled(net, tmp_path, dense=seed == 1), seed) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 28))
@pytest.mark.parametrize("kind", KINDS)
def test_every_spike_of_two_hundred_networks(kind, seed, tmp_path):
    net = random_net(seed, kind)
    check(net, compiled(net, tmp_path, dense=seed % 3 == 0), seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dense", [False, True])
def test_sanitizers_find_nothing(kind, dense, tmp_path):
    net = random_net(5, kind)
    check(net, compiled(net, tmp_path, dense=dense, extra=SANITIZERS), 5)


@pytest.mark.parametrize("kind", ["plain", "recurrent", "delays"])
def test_spikes_are_those_of_plain_loops(kind, tmp_path):
    net = random_net(7, kind)
    x = random_input(net, 7, STEPS, 1)
    found = compiled(net, tmp_path).run(torch.from_numpy(x).float(), record=True).records
    for name, population in zip(net.names, simulate(net, x[:, 0]), strict=True):
        assert np.array_equal(found[name][:, 0].numpy(), population["s"]), name


def test_hand_worked():
    """One neuron, weight 2, no leak, threshold 3: v is 128, 256, ... state units; it fires above 192."""
    net = LavaNet((Input((1,)), Dense(np.array([[2]]), Cuba.of(4096, 0, 3))), ("n",))
    x = torch.tensor([1.0, 0, 1, 1, 1, 1]).view(6, 1, 1)
    assert torch.equal(Loihi(net).run(x).output, torch.tensor([0.0, 0, 1, 0, 1, 0]).view(6, 1, 1))


@pytest.mark.parametrize("top", [7, 8, 127, 128, 254])
def test_weights_of_every_width(top, tmp_path):
    """Packed in 4 bits, in 8 and in 16; an odd number of targets leaves half a byte over."""
    rng = np.random.default_rng(top)
    weight = rng.integers(-min(top, 8), top + 1, (3, 2, 3, 3))
    weight.flat[:2] = top, 1
    dense = rng.integers(-min(top, 8), top + 1, (5, 3 * 6 * 6))
    dense.flat[:2] = top, 1
    layers = (
        Input((2, 6, 6)),
        Conv((3, 6, 6), weight, Cuba.of(4096, 1024, 2 * top), None, (1, 1), (1, 1)),
        Flatten((108,)),
        Dense(dense, Cuba.of(2048, 0, 3 * top)),
    )
    net = LavaNet(layers, ("conv", "dense"))
    assert check(net, compiled(net, tmp_path, dense=top == 8), top) > 0
    text = (write_program(net, tmp_path).parent / SOURCE).read_text()
    expected = "uint8_t" if top == 7 else "int8_t" if top <= 127 else "int16_t"
    assert f"static const {expected} conv_weight[" in text


def test_names_from_outside_cannot_leave_their_comment(tmp_path):
    net = random_net(0)
    odd = tuple(f'{i}*/ #error "\n\\ ü int' for i in range(len(net.names)))
    path = write_program(replace(net, names=odd), tmp_path)
    program = CProgram(path)
    assert program.layers == odd
    lines = (tmp_path / SOURCE).read_text().splitlines()
    assert not any(line.startswith("#error") for line in lines)


def test_code_from_elsewhere_is_not_compiled(tmp_path):
    path = write_program(random_net(0), tmp_path)
    code = tmp_path / SOURCE
    code.write_text(code.read_text().replace("model_reset(m);", 'model_reset(m); /* system("...") */'))
    with pytest.raises(UnsupportedError, match="not what this version"):
        CProgram(path)
    code.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        CProgram(path)


def test_without_a_compiler_it_says_how_to_get_one(tmp_path, monkeypatch):
    path = write_program(random_net(0), tmp_path)
    monkeypatch.setenv("CC", "no-such-compiler -O3")
    with pytest.raises(MissingOptionalError, match="no-such-compiler"):
        CProgram(path)


def test_code_that_does_not_compile_is_told(tmp_path):
    (tmp_path / "bad.c").write_text("int main(void) { return nothing; }\n")
    with pytest.raises(CError, match="nothing"):
        build([tmp_path / "bad.c"], tmp_path, tmp_path / "bad")


def test_unknown_layers_and_foreign_ranges_are_refused(tmp_path):
    net = random_net(0, "graded")
    program = compiled(net, tmp_path)
    with pytest.raises(ConfigError, match="nowhere"):
        program.run(inputs(net, 0), forced={"nowhere": torch.zeros(1)})
    with pytest.raises(DataError, match="written for 0 to 255"):
        program.run(inputs(net, 0) * 0 + 300)
