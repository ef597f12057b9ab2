from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.data import real_data
from support.images import write_cifar10, write_image_folder, write_mnist

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.events.camera import Camera, record
from snn_deploy.data.events.camera_noise import Noise
from snn_deploy.data.options.sets import CameraOptions
from snn_deploy.data.sets import camera as module
from snn_deploy.data.sets.camera import LUMA, camera

NOISY = {"mismatch": 0.1, "noise_hz": 5.0, "refractory_us": 500, "camera_seed": 3}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A small MNIST folder, and its images."""
    root = tmp_path_factory.mktemp("digits") / "raw"
    return root, write_mnist(root, train=60, test=20)


def load(root, cache, timesteps=4, of="mnist", verify=False, **options):
    images = {"root": root, "validation": 10, "verify": verify} | options.pop("images", {})
    return camera(CameraOptions(of=of, images=images, **options), timesteps=timesteps, cache=cache)


def by_hand(image, camera, timesteps):
    """Binary frames of one recording: equal times between its first and last event."""
    frames = np.zeros((timesteps, *camera.sensor), np.uint8)
    events = record(image[None], camera)[0]
    width = max(1, (events.t[-1] - events.t[0]) // timesteps)
    k = np.minimum((events.t - events.t[0]) // width, timesteps - 1)
    frames.reshape(timesteps, -1)[k, events.address] = 1
    return frames


def test_registry_knows_it():
    entry = DATASETS.get("camera")
    assert (entry.factory, entry.options) == (camera, CameraOptions)


def test_recordings_of_a_set_under_a_name_of_their_own(digits, tmp_path):
    root, content = digits
    data = load(root, tmp_path)
    assert (data.name, data.shape, data.classes) == ("camera of mnist", (2, 34, 34), tuple("0123456789"))
    assert [len(split) for split in (data.train, data.validation, data.test)] == [50, 10, 20]
    assert data.test.labels.tolist() == content["t10k-labels-idx1-ubyte"].tolist()
    assert data.notes[0] == (
        "Images of 'mnist' before a simulated event camera, 34x34 pixels: not a public benchmark."
    )
    assert "Not the public MNIST" in " ".join(data.notes)
    assert not data.steady
    seen = Camera(size=34, zoom=1.0, radius=3.0)
    images = content["t10k-images-idx3-ubyte"].astype(np.float32) / np.float32(255)
    for number in (0, 7, 19):
        frames = by_hand(images[number].astype(np.float64), seen, 4)
        np.testing.assert_array_equal(data.test.batch(torch.tensor([number]))[:, 0].numpy(), frames)


def test_threads_and_blocks_do_not_matter(digits, tmp_path, monkeypatch):
    root, _ = digits
    made = []
    for number, (workers, block) in enumerate([(1, 1 << 15), (4, 3 * 34 * 34), (3, 1)]):
        monkeypatch.setattr(module, "_BLOCK", block)
        data = load(root, tmp_path / str(number), workers=workers, **NOISY)
        made.append((data.digest, data.train.frames))
    assert len({digest for digest, _ in made}) == 1
    assert all(frames.equal(made[0][1]) for _, frames in made)


def test_settings_make_other_data_and_the_cache_knows(digits, tmp_path, monkeypatch):
    root, _ = digits
    settings = [{}, {"side": 20}, {"path": "triangle"}, {"threshold": 0.5}, {"threshold_off": 0.5}, NOISY]
    settings += [{"loops": 2}, {"radius": 2.0}, {"zoom": 0.9}, {"dark": 0.2}, {"duration_us": 1000}]
    digests = [load(root, tmp_path, **options).digest for options in settings]
    assert len(set(digests)) == len(settings)
    monkeypatch.setattr(module, "record", lambda *_: pytest.fail("made again"))
    assert [load(root, tmp_path, **options).digest for options in settings] == digests


def test_noise_is_seen_in_the_frames(digits, tmp_path):
    root, content = digits
    data = load(root, tmp_path, binary=False, **NOISY)
    images = content["t10k-images-idx3-ubyte"].astype(np.float32) / np.float32(255)
    seen = Camera(size=34, zoom=1.0, radius=3.0, noise=Noise(0.1, 5.0, 500, 3))
    expected = sum(len(events) for events in record(images.astype(np.float64), seen, range(60, 80)))
    assert data.test.batch(torch.arange(20)).sum() == expected


def test_events_outside_of_stated_windows_are_counted(digits, tmp_path):
    data = load(digits[0], tmp_path, window=1000)
    assert "events lie outside of the frames" in data.notes[-1]


def test_colour_becomes_intensity(tmp_path):
    write_cifar10(tmp_path / "cifar", per_batch=10, test=5)
    data = load(tmp_path / "cifar", tmp_path, of="cifar10", side=40)
    plain = DATASETS.get("cifar10")
    images = plain.factory(
        plain.options(root=tmp_path / "cifar", verify=False, validation=10, normalize=None), timesteps=1
    )
    rgb = images.test.batch(torch.arange(5))[0].double().numpy()
    grey = sum(weight * rgb[:, channel] for channel, weight in enumerate(LUMA))
    zoom = (40 - 2 * 40 * 3 / 34) / 32
    frames = by_hand(grey[4], Camera(size=40, zoom=zoom, radius=40 * 3 / 34), 4)
    assert (
        data.test.batch(torch.tensor([4]))[:, 0].numpy() == frames
    ).mean() > 0.999  # sums in another order
    assert data.classes == images.classes


def test_images_of_ones_own(tmp_path):
    write_image_folder(tmp_path / "own")
    images = {"root": tmp_path / "own", "size": 24, "resize": 26, "validation": 0.2}
    options = CameraOptions(of="image-folder", images=images, side=32, augment={"flip": True})
    data = camera(options, timesteps=3, cache=tmp_path)
    assert (data.name, data.shape, data.classes) == ("camera of image-folder", (2, 32, 32), ("cat", "dog"))
    assert data.augment is not None
    large = CameraOptions(of="image-folder", images=images | {"size": 100, "resize": 100}, side=32)
    with pytest.raises(ConfigError, match=r"Images of 100x100 pixels would be shown at 0\.26 sensor pixels"):
        camera(large, timesteps=3, cache=tmp_path)


def test_progress_is_told(digits, tmp_path, capsys):
    load(digits[0], tmp_path)
    assert capsys.readouterr().err.splitlines()[-1] == "camera of mnist: 80 of 80 recordings"
    load(digits[0], tmp_path)
    assert capsys.readouterr().err == ""


def test_hints_name_the_options_as_they_are_given_here(digits, tmp_path):
    with pytest.raises(DataError, match="There is no MNIST folder") as caught:
        load(tmp_path / "nothing", tmp_path)
    assert "-o data.images.root=PATH" in caught.value.hint
    with pytest.raises(DataError, match="is not as published") as caught:
        load(digits[0], tmp_path, verify=True)
    assert "-o data.images.verify=false" in caught.value.hint


def test_a_wrong_set_is_named(tmp_path):
    root = real_data("FashionMNIST/raw")
    with pytest.raises(DataError, match="holds Fashion-MNIST") as caught:
        load(root, tmp_path)
    assert caught.value.hint == "Read it under its own name: -o data.of=fashion-mnist"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"of": "mnits"}, "of: Unknown data set 'mnits'. Did you mean 'mnist'?"),
        ({"of": "nmnist"}, "of: 'nmnist' is no set of still images"),
        ({"of": "camera"}, "of: 'camera' is no set of still images"),
        ({"of": "mnist", "images": {"normalize": "mnist"}}, "images.normalize: the camera sees intensities"),
        ({"of": "mnist", "images": {"validatoin": 3}}, "images.validatoin: Extra inputs are not permitted"),
        ({"of": "mnist", "augment": {"flip": True}}, "a mirrored digit is of no class"),
        ({"of": "mnist", "threshold": 0.0}, "threshold"),
    ],
)
def test_options_that_cannot_be(options, reason):
    with pytest.raises(ValidationError) as caught:
        CameraOptions(**options)
    assert reason in str(caught.value)


def test_what_tells_real_images_apart_is_kept():
    """Nearest class mean on the frames of 2,000 real images, beside the same on the images."""
    real_data("FashionMNIST/raw")
    options = CameraOptions(of="fashion-mnist", images={"root": real_data("FashionMNIST/raw")})
    images = module.images_of(options)
    split = images.test
    part = torch.arange(2000)
    pixels = split.batch(part)[0]
    seen = module.camera_for(options, images.shape)
    frames = np.concatenate(
        [
            module._block(module._intensity(pixels[n : n + 50]), range(n, n + 50), seen, options, 4).frames
            for n in range(0, 2000, 50)
        ]
    )
    labels = split.labels[part]

    def score(x):
        x = x.flatten(1).double()
        means = torch.stack([x[:1000][labels[:1000] == k].mean(0) for k in range(10)])
        return (torch.cdist(x[1000:], means).argmin(1) == labels[1000:]).double().mean().item()

    assert score(torch.from_numpy(frames)) > score(pixels) - 0.05


def test_threads_are_those_of_the_process(digits, tmp_path, monkeypatch):
    asked = []

    class Pool(module.ThreadPoolExecutor):
        def __init__(self, threads, **named):
            asked.append(threads)
            super().__init__(threads, **named)

    monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)
    monkeypatch.setenv("SNN_DEPLOY_CACHE", str(tmp_path))
    load(Path(digits[0]), None)
    load(Path(digits[0]), None, workers=5, side=30)
    assert asked == [os.cpu_count(), 5]
