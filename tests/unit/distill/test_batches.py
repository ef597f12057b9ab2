from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.splits import Expecting
from support.toy import CLASSES, SHAPE, flip_some, toy_data, toy_recipe
from torch import nn

from snn_deploy.core.errors import ConfigError
from snn_deploy.data.loading.seeds import derived_seed
from snn_deploy.data.types import DataSet, Split
from snn_deploy.distill.batches import Batches
from snn_deploy.distill.interrupt import StopRequest
from snn_deploy.distill.methods.method import DistillBatch, Method, Setting, Terms
from snn_deploy.distill.objective import DistillObjective
from snn_deploy.distill.trainer import Phase, fit
from snn_deploy.processes.share import divide
from snn_deploy.processes.world import World
from snn_deploy.recipes.recipe import MixSpec, TrainSpec

CPU = torch.device("cpu")
SOME = torch.tensor([3, 0, 17, 8])


def shift(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return x + torch.rand(x.shape[1], generator=generator)[None, :, None, None, None]


def zeros(timesteps: int) -> DataSet:
    data = toy_data(timesteps)
    empty = torch.zeros_like(data.train.frames)
    return replace(data, train=replace(data.train, frames=empty), augment=shift)


def test_all_binnings_of_a_sample_are_augmented_alike() -> None:
    batches = Batches(zeros(3), {3: zeros(3).train, 6: zeros(6).train}, CPU, seed=0)
    first, second = batches.make(SOME, 0), batches.make(SOME, 0)
    assert torch.equal(first.inputs[3][0], first.inputs[6][5])
    assert not torch.equal(first.inputs[3], second.inputs[3])


def test_labels_belong_to_their_samples() -> None:
    data = toy_data()
    batches = Batches(replace(data, augment=None), {3: data.train}, CPU, seed=0)
    made = batches.make(SOME, 0)
    assert torch.equal(made.labels, data.train.labels[SOME])
    assert torch.equal(made.inputs[3], data.train.batch(SOME))
    assert len(batches) == 40


MIX = MixSpec(mixup=0.7)


def by_class(timesteps: int) -> DataSet:
    """Every pixel of a sample holds the number of its class."""
    data = toy_data(timesteps)
    frames = data.train.labels.to(torch.uint8).view(40, 1, 1, 1, 1).expand(40, timesteps, *SHAPE)
    return replace(data, train=replace(data.train, frames=frames, rows=torch.arange(40)), augment=None)


@pytest.mark.parametrize("mix", [MIX, MixSpec(cutmix=1.0)])
def test_all_binnings_are_mixed_alike_and_labels_like_inputs(mix: MixSpec) -> None:
    batches = Batches(by_class(3), {3: by_class(3).train, 6: by_class(6).train}, CPU, seed=0, mix=mix)
    for _ in range(9):
        inputs, targets = batches.make(SOME, 0)
        assert torch.equal(inputs[3], inputs[6][3:])
        torch.testing.assert_close(targets.sum(1), torch.ones(4))
        torch.testing.assert_close(inputs[3].mean((0, 2, 3, 4)), targets @ torch.arange(3.0))


def test_samples_are_mixed_as_often_as_asked_and_only_in_the_first_epochs() -> None:
    data = toy_data()
    spec = MixSpec(mixup=1.0, cutmix=1.0, probability=0.6, epochs=2)
    batches = Batches(replace(data, augment=None), {3: data.train}, CPU, seed=0, mix=spec)
    plain = data.train.batch(SOME)
    ways = {"none": 0, "mixup": 0, "cutmix": 0}
    for _ in range(300):
        inputs, targets = batches.make(SOME, 1)
        if targets.ndim == 1:
            assert torch.equal(inputs[3], plain)
            ways["none"] += 1
        else:
            ways["cutmix" if set(inputs[3].unique().tolist()) <= {0.0, 1.0} else "mixup"] += 1
    # Of 300: 40, 30 and 30 %. Partners may be the samples themselves, which looks like CutMix.
    assert 90 < ways["none"] < 150 and 60 < ways["mixup"] < 120 and 60 < ways["cutmix"] < 120
    assert all(batches.make(SOME, epoch).labels.ndim == 1 for epoch in (2, 3) for _ in range(9))


def test_mixing_does_not_change_the_augmentation() -> None:
    data = toy_data()
    plain, mixing = (Batches(data, {3: data.train}, CPU, seed=1, mix=mix) for mix in (None, MIX))
    for _ in range(4):
        expected, found = plain.make(SOME, 0), mixing.make(SOME, 0)
        # Pairs exchange what they give away, so the batch's sum stays.
        torch.testing.assert_close(found.inputs[3].sum(1), expected.inputs[3].sum(1))
        assert found.labels.shape == (4, CLASSES)


def test_both_streams_go_on_where_they_were() -> None:
    data = toy_data()
    first, second = (Batches(data, {3: data.train}, CPU, seed=seed, mix=MIX) for seed in (1, 2))
    first.make(SOME, 0)
    second.load_state_dict(first.state_dict())
    expected, found = first.make(SOME, 0), second.make(SOME, 0)
    assert torch.equal(found.inputs[3], expected.inputs[3]) and torch.equal(found.labels, expected.labels)


def test_nothing_to_mix_is_refused_with_the_recipe() -> None:
    with pytest.raises(ConfigError) as failure:
        toy_recipe("train.mix.probability=0.5", "teacher.train.mix.cutmix=-1")
    faults = {p.where: p.what for p in failure.value.problems}
    assert faults.keys() == {"train.mix", "teacher.train.mix.cutmix"}
    assert "nothing is mixed" in faults["train.mix"]
    assert toy_recipe("train.mix.mixup=0.5").train.mix == MixSpec(mixup=0.5)


def test_streams_of_one_seed_differ_by_purpose_and_number() -> None:
    seeds = [derived_seed("augmentation", 0), derived_seed("method", 0), derived_seed("augmentation", 1)]
    assert len(set(seeds)) == 3
    assert all(0 <= seed < 2**63 for seed in seeds)
    # By hand: the first eight bytes of the digest, little endian, without the lowest bit.
    assert seeds[0] == int.from_bytes(hashlib.sha256(b"augmentation 0").digest()[:8], "little") // 2


class Draws(Method):
    """A method that draws ``amount`` numbers from its generator and from torch's own."""

    def __init__(self, setting: Setting, amount: int) -> None:
        super().__init__(setting)
        self.amount = amount

    def losses(self, batch: DistillBatch) -> Terms:
        torch.rand(self.amount, generator=batch.generator)
        return {"ce": nn.functional.cross_entropy(batch.student_logits.mean(0), batch.labels)}


def seen_in_training(folder: Path, amount: int) -> list[torch.Tensor]:
    """Augmented inputs and dropout masks of a run whose method draws ``amount`` numbers per step."""
    seen: list[torch.Tensor] = []

    def watched(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        seen.append(flip_some(x, generator))
        return seen[-1]

    torch.manual_seed(0)
    dropout = nn.Dropout(0.5)
    dropout.register_forward_hook(lambda module, _, out: seen.append(out == 0) if module.training else None)
    network = nn.Sequential(nn.Flatten(2), nn.Linear(72, CLASSES), dropout)
    torch.rand(amount)  # as the weights of a method's helpers would
    data = replace(toy_data(), augment=watched)
    fit(
        DistillObjective(network, None, Draws(Setting(network, None, SHAPE, CLASSES, 3), amount), 3),
        data,
        TrainSpec(epochs=2, batch_size=16),
        Phase("student", folder, "x", 0),
        train={3: data.train},
        device=CPU,
        stop=StopRequest(),
        report=lambda event: None,
    )
    return seen


@pytest.mark.parametrize("amount", [1, 7])
def test_what_a_method_draws_changes_neither_augmentation_nor_dropout(amount: int, tmp_path: Path) -> None:
    without, with_ = (seen_in_training(tmp_path / str(n), n) for n in (0, amount))
    assert len(without) == 12
    assert all(torch.equal(a, b) for a, b in zip(without, with_, strict=True))


class Watched:
    """A split that remembers what it was asked for."""

    def __init__(self, split: Split) -> None:
        self.split, self.labels, self.asked = split, split.labels, []

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        self.asked += indices.tolist()
        return self.split.batch(indices)


@pytest.mark.parametrize("mix", [None, MixSpec(mixup=1.0), MixSpec(cutmix=1.0)])
def test_a_share_of_a_batch_is_the_same_as_in_the_whole_and_reads_little_else(mix: MixSpec | None) -> None:
    data, indices = toy_data(), torch.randperm(40)[:16]
    whole = Batches(data, {3: data.train}, CPU, 4, mix).make(indices, 0)
    parts = []
    for share in [share for rank in range(3) for share in divide(16, 2, World(rank, 3))]:
        watched = Watched(data.train)
        parts.append(Batches(data, {3: watched}, CPU, 4, mix).make(indices, 0, share))
        own = indices[share.start : share.stop].tolist()
        assert watched.asked[: len(own)] == own
        assert len(watched.asked) == len(own) * (1 if mix is None else 2)
    assert torch.equal(torch.cat([part.inputs[3] for part in parts], 1), whole.inputs[3])
    assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)


def test_each_process_expects_its_own_shares() -> None:
    data, batches = toy_data(), torch.split(torch.randperm(40), 16)[1:]
    told = []
    for rank in range(2):
        split = Expecting(data.train)
        Batches(data, {3: split}, CPU, 4).expect(batches, World(rank, 2))
        told.append(split.expected)
    assert told[0] == [*batches[0][:8].tolist(), *batches[1][:4].tolist()]
    assert told[1] == [*batches[0][8:].tolist(), *batches[1][4:].tolist()]
