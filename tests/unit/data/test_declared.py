from __future__ import annotations

import pytest
from support.data import real_data
from support.images import write_image_folder, write_mnist

from snn_deploy.core.components import DATASETS as SHIPPED
from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import DATASETS, Options
from snn_deploy.data.declared import IMAGES, SENSORS, Declared, declared

OPTIONS = {
    "event-folder": {"height": 20, "width": 30},
    "camera": {"of": "cifar100", "side": 40},
    "time-series": {"problem": "Two", "dimensions": 3},
}


def given(name, **options):
    return DATASETS.options(name).model_validate(options)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_set_that_ships_is_declared(name):
    assert declared(name, given(name, **OPTIONS.get(name, {}))).shape


def test_options_change_the_shape():
    assert declared("nmnist", given("nmnist", downsample=2, polarity="merged")) == Declared((1, 17, 17), 10)
    assert declared("cifar10-dvs", given("cifar10-dvs", resize=[48, 40])).shape == (2, 48, 40)
    assert declared("event-folder", given("event-folder", height=20, width=30)) == Declared((2, 20, 30), None)
    assert declared("camera", given("camera", of="cifar100", side=40, crop=32)) == Declared((2, 32, 32), 100)
    assert declared("image-folder", given("image-folder", size=64)) == Declared((3, 64, 64), None, True)


def test_what_is_declared_is_what_is_read(tmp_path):
    """Of one set of each kind, from the set itself."""
    write_mnist(tmp_path / "mnist")
    write_image_folder(tmp_path / "own")
    digits = {"root": tmp_path / "mnist", "validation": 10, "verify": False}
    cases = [
        ("digits-dvs", {"polarity": "merged", "crop": 12}),
        ("mnist", digits),
        ("fashion-mnist", digits),
        ("mnist", {**digits, "normalize": None, "encoding": "latency"}),
        ("image-folder", {"root": tmp_path / "own", "size": 16, "resize": 20, "validation": 0.2}),
        ("camera", {"of": "mnist", "images": digits, "side": 30, "downsample": 2}),
    ]
    for name, options in cases:
        settings = given(name, **options)
        data = DATASETS.get(name).factory(settings, timesteps=2, cache=tmp_path)
        shape, classes, steady = declared(name, settings)
        assert (shape, steady) == (data.shape, data.steady)
        assert classes in {None, len(data.classes)}


def test_what_is_declared_of_real_recordings_is_what_is_read(tmp_path):
    settings = given("nmnist", root=real_data("NMNIST"), downsample=2)
    data = DATASETS.get("nmnist").factory(settings, timesteps=2, cache=tmp_path)
    assert declared("nmnist", settings) == Declared(data.shape, len(data.classes), data.steady)


def test_what_only_the_data_tell_is_refused():
    with pytest.raises(ConfigError, match=r"'my\.py:load' looks like is known when it is read"):
        declared("my.py:load", Options())
    assert not set(SENSORS) & set(IMAGES)
