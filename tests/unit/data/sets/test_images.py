from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.data.augment import encode
from snn_deploy.data.options.images import ImageAugmentOptions, ImageOptions
from snn_deploy.data.sets.images import (
    NORMALIZATIONS,
    ImageSplit,
    array_digest,
    assemble,
    hold_out,
    in_memory,
)
from snn_deploy.data.sets.roots import default_root

T = 4
PARTS = [np.arange(0, 8), np.arange(8, 12), np.arange(12, 20)]


def pixels(channels=3):
    return np.random.default_rng(0).integers(0, 256, (20, channels, 6, 5)).astype(np.uint8)


def data(channels=3, timesteps=T, content="a", **options):
    labels = np.arange(20) % 4
    return assemble(
        "set",
        in_memory(pixels(channels), labels, PARTS),
        (channels, 6, 5),
        ["a", "b", "c", "d"],
        ImageOptions(**options),
        timesteps,
        content,
        ["a note"],
    )


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_inputs_are_normalised_and_repeated(name):
    mean, std = NORMALIZATIONS[name]
    found = data(len(mean), normalize=name).validation.batch(torch.tensor([3, 1]))
    x = pixels(len(mean))[[11, 9]].astype(np.float64) / 255
    expected = (x - np.reshape(mean, (-1, 1, 1))) / np.reshape(std, (-1, 1, 1))
    assert found.dtype == torch.float32
    assert found.shape == (T, *x.shape)
    for step in found:
        np.testing.assert_allclose(step.numpy(), expected, rtol=0, atol=1e-6)


def test_splits_hold_their_samples_as_uint8():
    found = data()
    assert (len(found.train), len(found.validation), len(found.test)) == (8, 4, 8)
    assert found.test.labels.tolist() == [n % 4 for n in range(12, 20)]
    assert found.test.labels.dtype == torch.int64
    split = found.test.to("cpu")
    assert split.pixels.dtype == torch.uint8
    assert torch.equal(split.pixels, torch.from_numpy(pixels()[12:]))
    assert (found.shape, found.classes, found.notes) == ((3, 6, 5), ("a", "b", "c", "d"), ("a note",))


def test_without_anything_random_there_is_no_augmentation():
    for options in ({}, {"augment": {}}, {"encoding": "latency"}):
        found = data(**options)
        assert found.augment is None
        assert found.training is found.train


def test_training_without_changes_equals_what_the_network_sees():
    # Flipping twice by hand undoes what was drawn; what remains must be the evaluation input.
    found = data(normalize="imagenet", augment={"flip": True})
    batch = torch.arange(8)
    given = found.training.batch(batch)
    assert given.dtype == torch.uint8
    assert given.shape == (T, 8, 3, 6, 5)
    made = found.augment(given, generator())
    plain = found.train.batch(batch)
    mirrored = torch.rand(8, generator=generator()) < 0.5
    assert mirrored.any()
    assert not mirrored.all()
    assert torch.equal(made, torch.where(mirrored.view(8, 1, 1, 1), plain.flip(4), plain))


def test_an_image_is_augmented_once_for_all_steps():
    found = data(augment={"flip": True, "crop_padding": 2, "cutout": 2, "autoaugment": "cifar10"})
    made = found.augment(found.training.batch(torch.arange(8)), generator())
    assert made.shape == (T, 8, 3, 6, 5)
    assert made.dtype == torch.float32
    assert all(torch.equal(made[0], step) for step in made)
    assert made.stride(0) == 0
    assert not torch.equal(made, found.train.batch(torch.arange(8)))


def test_number_of_steps_is_that_of_the_batch():
    found = data(augment={"flip": True})
    longer = data(augment={"flip": True}, timesteps=7)
    first = found.augment(found.training.batch(torch.arange(4)), generator())
    second = found.augment(longer.training.batch(torch.arange(4)), generator())
    assert len(second) == 7
    assert torch.equal(first[0], second[6])


def test_erased_parts_have_the_mean_colour():
    found = data(normalize="cifar10", augment={"erasing": 1.0, "erasing_area": (0.3, 0.4)})
    made = found.augment(found.training.batch(torch.arange(8)), generator())
    plain = found.train.batch(torch.arange(8))
    changed = made != plain
    assert 0.2 < changed.double().mean() < 0.6
    assert (made[changed] == 0).all()


def test_inputs_are_not_taken_for_pixels():
    found = data(augment={"flip": True})
    with pytest.raises(TypeError, match=r"augment takes pixels, batches of DataSet\.training"):
        found.augment(found.train.batch(torch.arange(2)), generator())


def test_rate_coding_is_fresh_in_training_and_fixed_otherwise():
    found = data(encoding="rate")
    batch = torch.arange(8)
    assert torch.equal(found.train.batch(batch), found.train.batch(batch))
    assert torch.equal(found.test.batch(batch[2:5]), found.test.batch(batch)[:, 2:5])
    images = torch.from_numpy(pixels()) / 255
    assert torch.equal(found.test.batch(batch), encode.repeatable_rate(images[12:], T, torch.arange(12, 20)))
    source = generator()
    given = found.training.batch(batch)
    first, second = found.augment(given, source), found.augment(given, source)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(first, second)
    assert torch.equal(first, encode.rate(images[:8], T, generator()))


def test_latency_coding_after_augmentation():
    found = data(encoding="latency", augment={"flip": True})
    made = found.augment(found.training.batch(torch.arange(8)), generator())
    mirrored = torch.rand(8, generator=generator()) < 0.5
    plain = found.train.batch(torch.arange(8))
    assert torch.equal(made, torch.where(mirrored.view(8, 1, 1, 1), plain.flip(4), plain))


def test_first_steps_of_a_longer_input():
    for encoding, steady in (("direct", True), ("rate", True), ("latency", False)):
        found, longer = data(encoding=encoding), data(encoding=encoding, timesteps=2 * T)
        assert found.steady is steady
        batch = torch.arange(4)
        assert torch.equal(found.test.batch(batch), longer.test.batch(batch)[:T]) is steady


def test_spike_codes_refuse_normalised_images():
    with pytest.raises(ValidationError, match="rate coding reads intensities from 0 to 1"):
        ImageOptions(encoding="rate", normalize="cifar10")


def test_statistics_of_another_number_of_channels_are_refused():
    with pytest.raises(
        ConfigError, match=r"data\.normalize=mnist is for 1 channels; the images of 'set' have 3"
    ):
        data(normalize="mnist")


def test_digest_covers_content_and_options_but_not_the_place():
    digests = {
        data().digest,
        data(content="b").digest,
        data(normalize="cifar10").digest,
        data(encoding="rate").digest,
        data(augment={"flip": True}).digest,
        data(timesteps=5).digest,
    }
    assert len(digests) == 6
    assert data(root="elsewhere").digest == data().digest


def test_array_digest_tells_shapes_and_types_apart():
    a = np.arange(6, dtype=np.uint8)
    assert array_digest(a) == array_digest(a.copy())
    others = {array_digest(x) for x in (a, a.reshape(2, 3), a.view(np.int8), a[::-1])}
    assert len(others) == 4


def test_default_root(monkeypatch, tmp_path):
    monkeypatch.setenv("SNN_DEPLOY_DATA", str(tmp_path))
    assert default_root("x/y") == tmp_path / "x" / "y"
    monkeypatch.delenv("SNN_DEPLOY_DATA")
    monkeypatch.setenv("SNN_DEPLOY_CACHE", str(tmp_path / "cache"))
    assert default_root("x") == tmp_path / "cache" / "x"


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=120), st.data())
def test_held_out_samples_are_exact_and_stratified(labels, choose):
    labels = np.array(labels)
    count = choose.draw(st.integers(1, len(labels) - 1))
    kept, held = hold_out(labels, count)
    assert len(held) == count
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert (np.diff(kept) > 0).all()
    assert (np.diff(held) > 0).all()
    for label in set(labels.tolist()):
        share = count * (labels == label).sum() / len(labels)
        assert abs((labels[held] == label).sum() - share) < 1
    # Evenly spread: any run of a class's samples holds its share, to within one sample.
    for label in set(labels.tolist()):
        members = np.flatnonzero(labels == label)
        taken = np.cumsum(np.isin(members, held))
        even = np.arange(1, len(members) + 1) * taken[-1] / len(members)
        assert (np.abs(taken - even) < 1).all()


def test_held_out_samples_by_hand():
    kept, held = hold_out(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 4)
    assert held.tolist() == [1, 3, 5, 7]
    assert kept.tolist() == [0, 2, 4, 6]


def test_too_many_held_out():
    with pytest.raises(DataError, match="20 of 20 training images held out for validation leave none"):
        hold_out(np.zeros(20, np.int64), 20)


def test_pixels_stay_on_their_device():
    split = ImageSplit(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.arange(4), torch.arange(4))
    assert split.batch(torch.tensor([1])).dtype == torch.uint8
    if torch.cuda.is_available():
        moved = data(normalize="cifar10", augment={"flip": True}).training.to("cuda")
        assert moved.batch(torch.arange(3)).device.type == "cuda"


def test_augment_options_are_nested_in_image_options():
    options = ImageOptions.model_validate({"augment": {"crop_padding": 4, "flip": True}})
    assert options.augment == ImageAugmentOptions(crop_padding=4, flip=True)
