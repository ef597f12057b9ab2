"""Torch ANNs read through torch.export: the same scores as the module's own, or a refusal with a way out."""

import pytest
import torch
from support.anns import PlainNet, ResidualNet, seen
from torch import nn
from torch.nn import functional

from snn_deploy.convert.ann import Runner
from snn_deploy.convert.from_module import from_module
from snn_deploy.core.errors import UnsupportedError
from snn_deploy.core.registry import Options
from snn_deploy.models.public_resnet import cifar_resnet, imagenet_resnet


def same(module, shape, batch=3):
    """The network that is read, after checking its scores against the module's."""
    torch.manual_seed(1)
    x = torch.randn(batch, *shape)
    with torch.no_grad():
        wanted = module(x)
    ann = from_module(module, shape)
    torch.testing.assert_close(Runner(ann)(x), wanted, rtol=1e-4, atol=1e-4)
    return ann


def test_a_plain_network_is_read_with_its_batch_norm_folded():
    ann = same(seen(PlainNet()), (1, 12, 12))
    assert list(ann.nodes) == [
        "input", "conv1", "relu", "pool", "conv2", "relu:2", "flatten", "hidden", "relu:3", "scores",
        "output",
    ]  # fmt: skip


def test_option_a_shortcuts_become_one_fixed_convolution():
    ann = same(seen(ResidualNet()), (1, 12, 12))
    fixed = [node for node in ann.nodes.values() if node.metadata.get("fixed")]
    assert len(fixed) == 1
    assert fixed[0].weight.shape == (8, 4, 1, 1)
    assert fixed[0].weight.sum() == 4


@pytest.mark.parametrize("n", [1, 3])
def test_public_cifar_networks(n):
    ann = same(seen(cifar_resnet(n, Options(), in_shape=(3, 32, 32), classes=10)), (3, 32, 32))
    assert len(ann.rectifiers) == 6 * n + 1
    assert ann.rectifiers[1] == "layer1.0.relu"


def test_projections_and_a_maximum_behind_the_stem():
    network = imagenet_resnet(18, Options(), in_shape=(3, 64, 64), classes=10)
    ann = same(seen(network), (3, 64, 64))
    assert list(ann.nodes).index("_pool") > list(ann.nodes).index("relu")


class Written(nn.Module):
    """A network whose parts are functions, in ``style``."""

    def __init__(self, style):
        super().__init__()
        self.style = style
        self.a, self.b = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding="same")
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4 * 16, 3)

    def forward(self, x):
        if self.style == "normalised":
            x = (x - torch.tensor([0.1, 0.2]).view(2, 1, 1)) / 0.5
        x = self.a(x)
        if self.style == "maximum first":
            x = torch.relu_(functional.max_pool2d(x, 2))
        elif self.style == "relu6":
            x = functional.avg_pool2d(functional.relu6(x), 2)
        elif self.style == "clamped":
            x = functional.avg_pool2d(x.clamp(min=0), 2)
        elif self.style == "norm first":
            x = functional.avg_pool2d(functional.relu(x), 2)
            x = functional.relu(self.norm(x) + x)
        elif self.style == "two maxima":
            x = functional.max_pool2d(functional.max_pool2d(functional.relu(x), 3, 1, 1), 2)
        else:
            x = functional.adaptive_avg_pool2d(functional.relu(x), 4)
        y = functional.relu(self.b(x) + x if self.style != "twice" else 2 * self.b(x) + x + x)
        y = y.view(y.size(0), -1) if self.style == "clamped" else y.flatten(1)
        scores = self.head(functional.dropout(y, 0.5, self.training))
        return scores if self.style != "softmax" else functional.softmax(scores, 1)


@pytest.mark.parametrize(
    "style", ["normalised", "maximum first", "relu6", "clamped", "norm first", "two maxima", "twice", "plain"]
)
def test_styles_of_writing(style):
    torch.manual_seed(0)
    same(seen(Written(style)), (2, 8, 8))


def test_a_last_softmax_is_left_out():
    torch.manual_seed(0)
    module, x = seen(Written("softmax")), torch.randn(3, 2, 8, 8)
    scores = Runner(from_module(module, (2, 8, 8)))(x)
    torch.testing.assert_close(scores.softmax(1), module(x).detach())


def test_training_mode_is_given_back():
    module = PlainNet().train()
    from_module(module, (1, 12, 12))
    assert module.training


def test_every_refused_operation_is_named_with_a_way_out():
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.SiLU(),
        nn.Conv2d(4, 4, 3),
        nn.LayerNorm(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 2),
    )
    with pytest.raises(UnsupportedError) as caught:
        from_module(module, (1, 12, 12))
    problems = {problem.where: problem for problem in caught.value.problems}
    assert set(problems) == {"1", "3"}
    assert "fine-tune" in problems["1"].try_instead
    assert "batch norm" in problems["3"].try_instead


class Inner(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.layer, self.told = nn.Conv2d(1, 2, 3), forward

    def forward(self, x):
        return self.told(functional.relu(self.layer(x)))


@pytest.mark.parametrize(
    ("forward", "text"),
    [
        (lambda x: (x * x).flatten(1), "product of two activations"),
        (lambda x: torch.cat([x, x], 1).flatten(1), "'cat'"),
        (lambda x: functional.leaky_relu(x).flatten(1), "'leaky_relu'"),
        (lambda x: x[:, :1].flatten(1), "a part of axis 1"),
        (lambda x: functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False).flatten(1), "count"),
        (lambda x: functional.softmax(x, 1).flatten(1), "softmax inside"),
        (lambda x: (x, x), "returns 2 values"),
        (lambda x: x.clamp(-1, 1).flatten(1), "limits to -1"),
    ],
)
def test_refusals_say_why(forward, text):
    with pytest.raises(UnsupportedError) as caught:
        from_module(Inner(forward), (1, 8, 8))
    assert text in str(caught.value)


def test_a_network_may_end_in_a_rectifier():
    ann = same(Inner(lambda x: x.flatten(1)), (1, 8, 8))
    assert list(ann.nodes) == ["input", "layer", "relu", "flatten", "output"]


def test_control_flow_on_values_is_refused():
    with pytest.raises(UnsupportedError, match="cannot be followed"):
        from_module(Inner(lambda x: x.flatten(1) if x.sum() > 0 else -x.flatten(1)), (1, 8, 8))
