"""Accuracy of converted networks at T = 2 to 32, without training.

    python benchmarks/conversion.py [--only resnet20,fashion] [--steps 2,4,8,16,32] [--images 256]
        [--work FOLDER] [--out FILE]

The ANNs are the public CIFAR-10 ResNet-20 and -56 (``$SNN_DEPLOY_DATA/cifar10-teachers``) and a small ReLU
CNN with max pooling that is trained on Fashion-MNIST here. Nothing is chosen on test images. ``plain``
takes the ANN's weights and one threshold per layer by squared error (rounds = 0), as the literature does;
``converted`` is what ``snn-deploy convert`` does by default. Conversions and weights are kept in the work
folder.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bench
import torch
from torch import nn
from torch.nn import functional

from snn_deploy.convert.chart import chart
from snn_deploy.convert.choices import Choices, FineTuning
from snn_deploy.convert.documents import Certificate
from snn_deploy.convert.folder import read_conversion
from snn_deploy.core.registry import DATASETS, Options
from snn_deploy.models.load import load_weights, save_weights
from snn_deploy.models.public_resnet import cifar_resnet
from snn_deploy.tasks.convert import SWEEP, convert_network

EPOCHS, BATCH, RATE = 3, 128, 0.05
DATA = Path(os.environ.get("SNN_DEPLOY_DATA", "."))


class FashionNet(nn.Module):
    """Four convolutions with batch norm, ReLU and max pooling, two dense layers: 28x28 images, 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 16, 16, 32, 32)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.pool = nn.MaxPool2d(2)
        self.hidden = nn.Linear(32 * 7 * 7, 128)
        self.scores = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = functional.relu(norm(conv(x)))
            if number % 2:
                x = self.pool(x)
        scores: torch.Tensor = self.scores(functional.relu(self.hidden(x.flatten(1))))
        return scores


@dataclass(frozen=True)
class Case:
    """A network and its data."""

    title: str
    data: str
    make: Callable[[Path], nn.Module]
    overrides: tuple[str, ...] = ()


def public(depth: int) -> Callable[[Path], nn.Module]:
    """The public CIFAR-10 ResNet of ``depth`` layers."""

    def make(_: Path) -> nn.Module:
        network = cifar_resnet((depth - 2) // 6, Options(), in_shape=(3, 32, 32), classes=10)
        load_weights(network, DATA / "cifar10-teachers" / f"resnet{depth}.safetensors")
        return network

    return make


def trained(work: Path) -> nn.Module:
    """The small CNN; trained once, with SGD and a cosine schedule, and its last weights taken."""
    torch.manual_seed(0)
    network, file = FashionNet(), work / "fashion.safetensors"
    if file.is_file():
        load_weights(network, file, ours=True)
        return network
    entry = DATASETS.get("fashion-mnist")
    train = entry.factory(DATASETS.options("fashion-mnist")(), timesteps=1, cache=None).train
    steps = EPOCHS * (len(train) // BATCH)
    optimiser = torch.optim.SGD(network.parameters(), RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(train))[: len(train) // BATCH * BATCH].split(BATCH):
            loss = functional.cross_entropy(network(train.batch(chosen)[0]), train.labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    save_weights(network.state_dict(), file)
    return network


CASES = {
    "resnet20": Case("ResNet-20, public", "cifar10", public(20), ("data.verify=false",)),
    "fashion": Case("CNN with max pooling", "fashion-mnist", trained),
    "resnet56": Case("ResNet-56, public", "cifar10", public(56), ("data.verify=false",)),
}
PLAIN = Choices(rounds=0, each_channel=False)


def certificate(
    case: Case,
    folder: Path,
    network: nn.Module,
    timesteps: int,
    choices: Choices,
    fine_tuning: FineTuning | None = None,
) -> Certificate:
    """Of the conversion in ``folder``, which is made where it is not there."""
    if not folder.is_dir():
        convert_network(
            network,
            folder,
            data=case.data,
            overrides=case.overrides,
            timesteps=timesteps,
            sweep=(),
            samples=None,
            choices=choices,
            fine_tuning=fine_tuning,
            resume=True,
            report=lambda line: print(f"  {line}", flush=True),
        )
    return read_conversion(folder)


def rows(name: str, steps: list[int], images: int, work: Path, out: Path | None) -> Iterator[tuple[str, ...]]:
    """The rows of a network; its picture goes beside ``out``."""
    case = CASES[name]
    network = case.make(work)
    for way, choices in (("plain", PLAIN), ("converted", Choices(images=images))):
        found = [certificate(case, work / f"{name}-{way}-{t}", network, t, choices) for t in steps]
        if way == "converted" and out is not None:
            sweep = found[0].model_copy(update={"sweep": tuple(c.chosen for c in found)})
            out.with_name(f"{out.stem}-{name}.svg").write_text(chart(sweep))
        head = (case.title, found[0].samples_of, f"{found[0].accuracy:.1%}")
        if way == "plain":
            yield (*head, "quantised ANN", *(f"{c.chosen.quantised:.1%}" for c in found))
        yield (*head, way, *(f"{c.chosen.spiking:.1%}" for c in found))
        if way == "converted":
            yield (*head, "calibration images", *(str(c.calibration["images"]) for c in found))
        yield (*head, f"{way}: SOPs / MACs", *(f"{c.chosen.sops / c.macs:.2f}" for c in found))


def main() -> None:
    """Convert, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--steps", default=",".join(map(str, SWEEP)))
    parser.add_argument("--images", type=int, default=Choices().images)
    parser.add_argument("--work", type=Path, default=Path("runs/conversion"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    steps = [int(t) for t in arguments.steps.split(",")]
    notes = bench.conditions("torch", threads=1)
    head = ("network", "data", "ANN", "way", *(f"T = {t}" for t in steps))
    table = bench.Table("Conversion without training", notes, *head)
    for name in arguments.only.split(","):
        for row in rows(name, steps, arguments.images, arguments.work, arguments.out):
            table.add(*row)
    table.keep(arguments.out)


if __name__ == "__main__":
    main()
