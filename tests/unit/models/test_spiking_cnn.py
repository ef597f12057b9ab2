from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import functional
from torch import fx, nn

from snn_deploy.core.errors import ConfigError
from snn_deploy.models.neurons import spiking_layers
from snn_deploy.models.options import SpikingCnnOptions
from snn_deploy.models.spiking_cnn import SpikingCnn, spiking_cnn

OPTIONS = SpikingCnnOptions.model_validate(
    {"blocks": [{"channels": 4, "stride": 2}, {"channels": 6, "pool": 2}], "hidden": [8]}
)


def build(options: SpikingCnnOptions = OPTIONS, in_shape: tuple[int, int, int] = (2, 9, 8)) -> SpikingCnn:
    return spiking_cnn(options, in_shape=in_shape, classes=5, timesteps=3)


def test_module_paths_are_the_layer_names_of_reports() -> None:
    leaves = [name for name, module in build().named_modules() if name.count(".") == 1]
    assert leaves == [
        "block1.conv", "block1.norm", "block1.neuron",
        "block2.conv", "block2.norm", "block2.neuron", "block2.pool",
        "hidden1.linear", "hidden1.neuron", "readout.linear", "readout.neuron",
    ]  # fmt: skip
    assert spiking_layers(build()) == ("block1.neuron", "block2.neuron", "hidden1.neuron", "readout.neuron")


@settings(max_examples=30)
@given(
    blocks=st.lists(
        st.fixed_dictionaries(
            {
                "channels": st.integers(1, 4),
                "kernel": st.integers(1, 6),
                "stride": st.integers(1, 3),
                "pool": st.integers(1, 3),
            }
        ),
        min_size=1,
        max_size=3,
    ),
    hidden=st.lists(st.integers(1, 5), max_size=2),
    size=st.tuples(st.integers(1, 3), st.integers(1, 14), st.integers(1, 14)),
    readout=st.sampled_from(["spiking", "linear"]),
)
def test_any_geometry_runs_or_is_refused(
    blocks: list[dict[str, int]], hidden: list[int], size: tuple[int, int, int], readout: str
) -> None:
    options = SpikingCnnOptions.model_validate({"blocks": blocks, "hidden": hidden, "readout": readout})
    try:
        network = build(options, size)
    except ConfigError as refusal:
        number = int(refusal.problems[0].where.rpartition(".")[2])
        cut = SpikingCnnOptions.model_validate({"blocks": blocks[:number] or [{"channels": 1}]})
        build(cut, size)
        return
    output = network.eval()(torch.rand(3, 2, *size))
    assert output.shape == (3, 2, 5)
    if readout == "spiking":
        assert set(output.unique().tolist()) <= {0.0, 1.0}


def test_it_is_traceable_with_spikingjelly_modules_as_leaves() -> None:
    class Tracer(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, path: str) -> bool:
            return not isinstance(module, nn.Sequential)

    network = build().eval()
    traced = fx.GraphModule(network, Tracer().trace(network))
    targets = [str(node.target) for node in traced.graph.nodes if node.op == "call_module"]
    assert [t for t in targets if "." in t] == [n for n, _ in network.named_modules() if n.count(".") == 1]
    x = (torch.rand(3, 2, 2, 9, 8) < 0.4).float()
    expected = network(x)
    functional.reset_net(network)
    assert torch.equal(traced(x), expected)


def test_nothing_in_it_hinders_deployment() -> None:
    network = build()
    assert not [m for m in network.modules() if isinstance(m, nn.ReLU | nn.MaxPool2d)]
    assert not [name for name, _ in network.named_parameters() if name.endswith(("conv.bias", "linear.bias"))]


def test_the_logit_scale_is_no_part_of_the_network_file() -> None:
    scaled = build(OPTIONS.model_copy(update={"logit_scale": 7.0}))
    assert scaled.logit_scale == 7.0
    assert scaled.state_dict().keys() == build().state_dict().keys()
    linear = build(OPTIONS.model_copy(update={"readout": "linear", "logit_scale": 7.0}))
    assert linear.logit_scale == 1.0
    assert spiking_layers(linear)[-1] == "hidden1.neuron"


def test_a_block_that_leaves_nothing_is_named() -> None:
    options = SpikingCnnOptions.model_validate({"blocks": [{"channels": 2}, {"channels": 2, "pool": 9}]})
    with pytest.raises(ConfigError, match="block 2 leaves nothing of a 9x8 image") as refusal:
        build(options)
    assert refusal.value.problems[0].where == "student.blocks.1"
