"""lava-dl's own test networks: our reader and simulator against the arrays they are published with.

================  ===================================================  ==================================
network           equal in every element                               not compared
================  ===================================================  ==================================
tinynet           spikes of input, layer 1 and output; u of layer 1    -
dense             spikes and u, 2000 steps of 256 neurons              -
ntidigits         output spikes, 3000 steps, delays to 62 steps        its last entry, an average (no
                                                                       netx reads it)
pilotnet_lif      spikes, u and v of 8 layers, spikes of the input;    -
                  u and v of the readout
mnist, tiny       (no arrays come with them; they are read and run)    everything
pilotnet_sdnn     refused: sigma-delta neurons                         everything
complex_dense     no file; resonate-and-fire neurons                   everything
================  ===================================================  ==================================

The arrays of pilotnet_lif come from two runs, which their names do not say. Those of ``conv-*`` and of
``fc-0`` to ``fc-2`` are of the image as a bias with resets every 17 steps; where a neuron has just fired
their v holds 128, which we take for the mark of its refractory step, and Lava has 0. Those of ``fc-3`` are of
``input-s`` as input with resets every 16 steps and netx's default offset.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from support.lava_dl import array, net_file, published

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.lava.net import Cuba, Dense, Input, LavaNet
from snn_deploy.simulate.loihi import Loihi

pytestmark = [pytest.mark.lava, published]
IN_THE_REFRACTORY_STEP = 128


def _frames(values: np.ndarray) -> torch.Tensor:
    """One sample ``[T, 1, ...]``."""
    return torch.from_numpy(values.astype(np.float32))[:, None]


def _still(name: str, steps: int) -> torch.Tensor:
    """An image, shown at every step."""
    return _frames(np.repeat(array(name)[None], steps, 0))


def _driven(net: LavaNet) -> LavaNet:
    """The network with its input population driven by biases as they are."""
    first, *others = net.layers
    assert isinstance(first, Input) and first.neuron is not None
    return replace(net, layers=(replace(first, weight=1, bias=0), *others))


def _time_first(values: np.ndarray) -> np.ndarray:
    """``[1, C, H, W, T]`` as ``[T, C, H, W]``."""
    return np.moveaxis(values[0], -1, 0)


def _torch_order(name: str) -> np.ndarray:
    """An array of tinynet, which is stored in the order of torch."""
    return _time_first(array(name).transpose())


def _equal(found: torch.Tensor | None, expected: np.ndarray) -> bool:
    assert found is not None
    return np.array_equal(found[: len(expected), 0].numpy(), expected)


def test_tinynet(tmp_path: Path) -> None:
    net = _driven(read_net(net_file("tiny.net", tmp_path)))
    image = _still("gts/tinynet/input_bias.npy", 15)
    found = list(Loihi(net).probe(image).values())
    names = ("input", "layer1", "output")
    spikes = [_torch_order(f"gts/tinynet/{name}.npy")[1:] for name in names]
    assert all(s.any() for s in spikes)
    assert [_equal(a.spikes, s) for a, s in zip(found, spikes, strict=True)] == [True] * 3
    assert _equal(found[1].u, 64 * _torch_order("gts/tinynet/current.npy")[1:])


def test_dense() -> None:
    weight = array("gts/dense/weight.npy").T
    net = LavaNet((Input((200,)), Dense(weight, Cuba.of(4096, 415, 6))), ("dense",))
    found = Loihi(net).run_pipelined(_frames(array("gts/dense/in.npy")), probe=True)["dense"]
    spikes = array("gts/dense/out.npy")
    assert spikes.sum() == 1826
    assert _equal(found.spikes, spikes)
    assert _equal(found.u, 64 * array("gts/dense/current.npy"))


def test_ntidigits(tmp_path: Path) -> None:
    file = net_file("gts/ntidigits/ntidigits.net", tmp_path)
    with pytest.raises(UnsupportedError, match="layer/5: layer type 'average'"):
        read_net(file)
    with h5py.File(file, "a") as content:
        del content["layer/5"]
    x, expected = _frames(array("gts/ntidigits/input.npy")), array("gts/ntidigits/output.npy")
    found = Loihi(file).run_pipelined(x)["layer2"].spikes
    assert expected.sum() == 22_572
    assert _equal(found[:-1], expected[1:])


LAYERS = ("conv-0", "conv-1", "conv-2", "conv-3", "conv-4", "fc-0", "fc-1", "fc-2")


def _pilotnet(tmp_path: Path) -> LavaNet:
    return replace(
        read_net(net_file("gts/pilotnet_lif/network.net", tmp_path)), names=("input", *LAYERS, "fc-3")
    )


def test_pilotnet_layers(tmp_path: Path) -> None:
    net = _driven(_pilotnet(tmp_path))
    image = _still("gts/pilotnet_lif/image.npy", 24)
    found = Loihi(net).run_pipelined(image, probe=True, reset_interval=17, reset_offset=0)
    assert _equal(found["input"].spikes, array("gts/pilotnet_lif/input.npy"))
    for name in LAYERS:
        spikes, u, v = (array(f"gts/pilotnet_lif/{name}{end}.npy") for end in ("", "-u", "-v"))
        assert spikes.any(), name
        assert _equal(found[name].spikes, spikes), name
        assert _equal(found[name].u, u), name
        assert _equal(found[name].v, np.where(spikes, 0, v)), name
        assert (v[spikes] == IN_THE_REFRACTORY_STEP).all(), name


def test_pilotnet_readout(tmp_path: Path) -> None:
    net = _pilotnet(tmp_path)
    fed = replace(net, layers=(Input(net.input_shape), *net.layers[1:]), names=net.names[1:])
    x = _frames(array("gts/pilotnet_lif/input-s.npy"))
    x = torch.cat([x, torch.zeros_like(x[:1])])
    found = Loihi(fed).run_pipelined(x, probe=True, reset_interval=16, reset_offset=0)["fc-3"]
    u, v, spikes = (array(f"gts/pilotnet_lif/fc-3-{end}.npy") for end in "uvs")
    assert len(u) == 25 and np.count_nonzero(u) == 4
    assert _equal(found.u, u)
    assert _equal(found.v, v)
    assert _equal(found.spikes, spikes)


@pytest.mark.parametrize("name", ["mnist.net", "tiny.net"])
def test_networks_without_arrays_are_read_and_run(name: str, tmp_path: Path) -> None:
    net = read_net(net_file(name, tmp_path))
    x = torch.rand(6, 2, *net.input_shape).round()
    assert Loihi(net).run(x).output.shape == (6, 2, *net.populations[-1].shape)


def test_sigma_delta_neurons_are_refused_by_layer(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        read_net(net_file("gts/pilotnet_sdnn/network.net", tmp_path))
    assert len(caught.value.problems) == 9
    assert all("neuron type 'SDNN'" in problem.what for problem in caught.value.problems)
