"""What is tried: every method with every family of students, every augmentation, recipes with a budget."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from snn_deploy.core.registry import METHODS

Row = tuple[str, str, tuple[str, ...]]
"""Title, recipe and overrides."""

FAMILIES = {
    "spiking-cnn": "{name: spiking-cnn, blocks: [{channels: 8}, {channels: 16, pool: 2}]}",
    "resnet20": "{name: resnet20}",
    "resnet19, plif": "{name: resnet19, neuron: {kind: plif, detach_reset: false}}",
    "sew-resnet18": "{name: sew-resnet18}",
    "ms-resnet18": "{name: ms-resnet18, neuron: {kind: if, v_reset: null, surrogate: {name: rectangle}}}",
    "vgg9": "{name: vgg9}",
    "spikformer": "{name: spikformer, depth: 1, width: 48, heads: 4}",
}
TAPS = {
    "spiking-cnn": "block2.neuron",
    "resnet20": "layer3",
    "resnet19, plif": "layer3",
    "sew-resnet18": "layer4",
    "ms-resnet18": "layer4",
    "vgg9": "block3.neuron",
    "spikformer": "blocks.0",
}
METHOD_OPTIONS = {
    "samd_nld": "student_tap: {tap}, teacher_tap: layer3, resize: pool",
    "bkd": "student_tap: {tap}, teacher_tap: layer3, resize: pool",
    "tssd": "weak_tap: {tap}, long_timesteps: 6",
}
CIFAR = "short-cifar10-resnet20-public"
EVENTS = "quickstart"
IMAGE_CHANGES = (
    "{resized_crop: [0.3, 1.0]}",
    "{crop_padding: 4, flip: true}",
    "{autoaugment: cifar10}",
    "{randaugment: {operations: 2, magnitude: 9}}",
    "{erasing: 0.25}",
    "{cutout: 8}",
)
FRAME_CHANGES = (
    "{rotate: 15, zoom: 0.1}",
    "{nda: true}",
    "{shift: 2}",
    "{cutout: 4}",
    "{time_jitter: 1}",
    "{drop: 0.2}",
)
TRAIN = (
    "train.mix={mixup: 0.5}",
    "train.mix={cutmix: 1.0}",
    "train.amp=off",
    "train.recompute=true",
    "train.accumulate=2",
    "train.grad_clip=1.0",
    "train.optimizer=adam",
)


def rows(budgets: Iterable[str]) -> Iterator[Row]:
    """All of them."""
    for name in budgets:
        yield name, name, ()
    for method, family in itertools.product(sorted(METHODS.names()), FAMILIES):
        options = METHOD_OPTIONS.get(method, "").replace("{tap}", TAPS[family])
        made = "{name: " + method + (f", {options}" if options else "") + "}"
        yield f"{method} / {family}", CIFAR, (f"student={FAMILIES[family]}", f"method={made}")
    for changes in IMAGE_CHANGES:
        yield f"images {changes}", CIFAR, (f"data.augment={changes}",)
    for encoding in ("rate", "latency"):
        yield f"images, {encoding} coding", CIFAR, (f"data.encoding={encoding}", "data.normalize=null")
    for changes in FRAME_CHANGES:
        yield f"frames {changes}", EVENTS, (f"data.augment={changes}",)
    yield "frames {flip: true}", "tssd-cifar10dvs-vgg9", ("data.augment={flip: true}",)
    for train in TRAIN:
        yield train, CIFAR, (train,)
