"""The public event sets, on small sets of their true on-disk forms."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest
import torch
from support.data import real_data
from support.recordings import aedat2, aedat3, aedat4, bits40, some_events

from snn_deploy.core.errors import DataError
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.options.sets import Dvs128ObjectsOptions, NCaltech101Options, ShdOptions
from snn_deploy.data.sets import cifar10_dvs as cifar
from snn_deploy.data.sets import dvs_gesture as gesture
from snn_deploy.data.sets.dvs128_objects import OBJECTS, dvs128_objects
from snn_deploy.data.sets.ncaltech101 import ncaltech101
from snn_deploy.data.sets.shd import shd


def counts(events, timesteps, shape, *, first=None, last=None):
    """Frames of equal time from first to last event, counted one by one."""
    first = events[0][2] if first is None else first
    last = events[-1][2] if last is None else last
    frames = np.zeros((timesteps, *shape), int)
    window = max(1, (last - first) // timesteps)
    for x, y, t, p in events:
        frames[min((t - first) // window, timesteps - 1), p, y, x] += 1
    return frames


def sample(split, index):
    return split.batch(torch.tensor([index]))[:, 0].numpy()


def load(name, root, tmp_path, timesteps=3, **options):
    entry = DATASETS.get(name)
    made = entry.options(root=root, binary=False, **options)
    return entry.factory(made, timesteps=timesteps, cache=tmp_path / "cache")


def lengths(data):
    return [len(split) for split in (data.train, data.validation, data.test)]


@pytest.mark.parametrize(
    "name", ["nmnist", "dvs-gesture", "cifar10-dvs", "n-caltech101", "shd", "dvs128-objects"]
)
def test_missing_folders_say_where_to_get_the_data(name, tmp_path):
    with pytest.raises(DataError) as caught:
        load(name, tmp_path / "nowhere", tmp_path)
    assert str(tmp_path / "nowhere") in caught.value.message
    assert "-o data.root=PATH" in caught.value.hint
    assert not (tmp_path / "nowhere").exists()


# --- DVS-Gesture -------------------------------------------------------------------------------------------


def trial_events(user):
    return some_events(user, 400, duration=100_000, start=5_000)


LABELS = "class,startTime_usec,endTime_usec\n2,10000,30000\n11,40000,60000\n1,55000,90000\n"


def make_gesture(root, users=(1, 2, 3, 4), test=(24,)):
    root.mkdir(parents=True, exist_ok=True)
    for name, numbers in (("trials_to_train.txt", users), ("trials_to_test.txt", test)):
        trials = [f"user{user:02d}_{light}" for user in numbers for light in ("lab", "led")]
        (root / name).write_text("\n".join(f"{trial}.aedat" for trial in trials) + "\n\n")
        for trial in trials:
            (root / f"{trial}.aedat").write_bytes(aedat3(trial_events(int(trial[4:6]))))
            (root / f"{trial}_labels.csv").write_text(LABELS)
    return root


def test_dvs_gesture_as_published(tmp_path):
    data = load("dvs-gesture", make_gesture(tmp_path / "g"), tmp_path, validation_users=1)
    assert (data.shape, data.classes) == ((2, 128, 128), gesture.CLASSES)
    assert lengths(data) == [3 * 2 * 3, 2 * 3, 2 * 3]
    assert data.test.labels.tolist() == [1, 10, 0] * 2
    # Labels 2 and 3 overlap in time; both samples have the events of the overlap.
    events = [e for e in trial_events(24) if 55_000 <= e[2] < 90_000]
    np.testing.assert_array_equal(sample(data.test, 2), counts(events, 3, data.shape))
    held = [e for e in trial_events(4) if 10_000 <= e[2] < 30_000]
    np.testing.assert_array_equal(sample(data.validation, 0), counts(held, 3, data.shape))
    assert data.notes[1] == "Validation: users 4, held out of the training recordings."
    assert "24 training and 6 test samples of 1,176 and 288" in data.notes[2]


def test_dvs_gesture_as_tonic_has_it(tmp_path):
    root = tmp_path / "g"
    for part, users in (("ibmGestureTrain", (1, 2)), ("ibmGestureTest", (24,))):
        for user in users:
            folder = root / part / f"user{user:02d}_fluorescent"
            folder.mkdir(parents=True)
            for label in (0, 10):
                events = np.array(trial_events(user + label), np.float64)
                np.save(
                    folder / f"{label}.npy", np.stack([*events.T[:2], events.T[3], events.T[2] // 1000], 1)
                )
    data = load("dvs-gesture", root, tmp_path, validation_users=1)
    assert lengths(data) == [2, 2, 2]
    assert data.test.labels.tolist() == [0, 10]
    events = [(x, y, t // 1000 * 1000, p) for x, y, t, p in trial_events(24 + 10)]
    np.testing.assert_array_equal(sample(data.test, 1), counts(events, 3, data.shape))
    assert "tonic's form" in data.notes[0]


def test_dvs_gesture_damage_is_named(tmp_path):
    root = make_gesture(tmp_path / "g")
    (root / "user01_lab_labels.csv").write_text(LABELS + "12,1,2\n3,9,9\nx\n")
    (root / "user02_led_labels.csv").write_text("class,start\n")
    whole = (root / "user03_lab.aedat").read_bytes()
    (root / "user03_lab.aedat").write_bytes(whole[: len(whole) - 5])
    (root / "user04_lab.aedat").write_bytes(aedat3(trial_events(4)[:100]))
    with pytest.raises(DataError, match="4 of 10 recordings") as caught:
        load("dvs-gesture", root, tmp_path)
    what = {problem.where: problem.what for problem in caught.value.problems}
    assert list(what) == ["user01_lab.aedat", "user02_led.aedat", "user03_lab.aedat", "user04_lab.aedat"]
    for line in ("line 5", "line 6", "line 7"):
        assert line in what["user01_lab.aedat"]
    assert "do not begin with class,startTime_usec,endTime_usec" in what["user02_led.aedat"]
    assert "ends within a packet" in what["user03_lab.aedat"]
    assert "no event, though a sample is announced there" in what["user04_lab.aedat"]
    data = load("dvs-gesture", root, tmp_path, skip_damaged=True)
    assert sum(lengths(data)) == 6 * 3
    assert data.notes[2].startswith("4 of 10 recordings are damaged and left out: user01_lab.aedat, ")


def test_dvs_gesture_lists_are_checked(tmp_path):
    root = make_gesture(tmp_path / "g")
    (root / "user02_lab.aedat").unlink()
    (root / "user24_led_labels.csv").unlink()
    with pytest.raises(DataError, match="incomplete") as caught:
        load("dvs-gesture", root, tmp_path)
    assert [p.where for p in caught.value.problems] == ["user02_lab.aedat", "user24_led_labels.csv"]
    (root / "trials_to_train.txt").write_text("../../etc/passwd\n")
    with pytest.raises(DataError, match=r"lists '\.\./\.\./etc/passwd'"):
        load("dvs-gesture", root, tmp_path)


# --- CIFAR10-DVS -------------------------------------------------------------------------------------------


def cifar_events(label, number):
    return some_events(100 * label + number, 50)


def make_cifar(root, suffix=".aedat", each=20):
    for label, name in enumerate(cifar.CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(each):
            events = cifar_events(label, number)
            sideways = [(y, x, t, p) for x, y, t, p in events]
            content = aedat2(sideways) if suffix == ".aedat" else aedat4([events], compression=0)
            (root / name / f"cifar10_{name}_{number}{suffix}").write_bytes(content)
    return root


@pytest.mark.parametrize("suffix", [".aedat", ".aedat4"])
def test_cifar10_dvs_upright_in_order_of_numbers(tmp_path, suffix):
    data = load("cifar10-dvs", make_cifar(tmp_path / "c", suffix), tmp_path)
    assert (data.shape, data.classes) == ((2, 128, 128), cifar.CLASSES)
    assert lengths(data) == [160, 20, 20]
    assert data.test.labels.tolist() == [label for label in range(10) for _ in range(2)]
    # Numbers 18 and 19 of each class are for test: numbers, not names, are in order.
    np.testing.assert_array_equal(sample(data.test, 7), counts(cifar_events(3, 19), 3, data.shape))
    assert "the first 90 % of each class are for training" in data.notes[0]
    assert data.notes[2].startswith("A part of CIFAR10-DVS: 200 of 10,000 recordings")


def test_cifar10_dvs_splits(tmp_path):
    root = make_cifar(tmp_path / "c")
    first = load("cifar10-dvs", root, tmp_path, split="last-90")
    np.testing.assert_array_equal(sample(first.test, 6), counts(cifar_events(3, 0), 3, first.shape))
    randoms = [load("cifar10-dvs", root, tmp_path, split="random", split_seed=seed) for seed in (0, 0, 1)]
    assert randoms[0].digest == randoms[1].digest != randoms[2].digest
    for data in (first, *randoms):
        rows = torch.cat([part.rows for part in (data.train, data.validation, data.test)])
        assert rows.sort().values.tolist() == list(range(200))
        assert data.test.labels.bincount().tolist() == [2] * 10


def test_cifar10_dvs_of_two_kinds_is_refused(tmp_path):
    root = make_cifar(tmp_path / "c", each=10)
    (root / "cat" / "more.aedat4").write_bytes(b"")
    with pytest.raises(DataError, match=r"has \.aedat and \.aedat4 files"):
        load("cifar10-dvs", root, tmp_path)
    for file in (root / "ship").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="incomplete") as caught:
        load("cifar10-dvs", root, tmp_path)
    assert [(p.where, p.what) for p in caught.value.problems] == [("ship", "0 recordings")]


# --- N-Caltech101 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", [True, False])
def test_ncaltech101(tmp_path, nested):
    root = tmp_path / "n"
    folder = root / "Caltech101" if nested else root
    for label, name in enumerate(("BACKGROUND_Google", "Faces_easy", "airplanes")):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            size = {"height": 180 - 10 * number, "width": 240 - 20 * number}
            events = some_events(10 * label + number, **size)
            (folder / name / f"image_{number + 1:04d}.bin").write_bytes(bits40(events))
    data = ncaltech101(NCaltech101Options(root=root, binary=False), timesteps=2, cache=tmp_path / "cache")
    assert data.shape == (2, 180, 240)
    assert data.classes == ("BACKGROUND_Google", "Faces_easy", "airplanes")
    assert lengths(data) == [21, 3, 6]
    assert "70% train, 10% validation, 20% test" in data.notes[0]
    rows = torch.cat([part.rows for part in (data.train, data.validation, data.test)])
    assert rows.sort().values.tolist() == list(range(30))
    row = int(data.test.rows[0])
    events = some_events(row, height=180 - 10 * row, width=240 - 20 * row)
    np.testing.assert_array_equal(sample(data.test, 0), counts(events, 2, data.shape))


# --- SHD ---------------------------------------------------------------------------------------------------


def spikes(seed):
    random = np.random.default_rng(seed)
    return np.sort(random.integers(0, 1000, 30)) / 1024, random.integers(0, 700, 30)


def make_shd(root, train=40, test=20):
    root.mkdir()
    for name, count, offset in (("shd_train.h5", train, 0), ("shd_test.h5", test, 500)):
        with h5py.File(root / name, "w") as file:
            times = file.create_dataset("spikes/times", (count,), h5py.vlen_dtype(np.float16))
            units = file.create_dataset("spikes/units", (count,), h5py.vlen_dtype(np.uint16))
            for index in range(count):
                times[index], units[index] = spikes(offset + index)
            file["labels"] = np.arange(count, dtype=np.uint16) % 20
            file["extra/keys"] = np.array([f"digit {n}".encode() for n in range(20)])
    return root


def test_shd(tmp_path):
    data = load("shd", make_shd(tmp_path / "s"), tmp_path, timesteps=4, validation=0.5)
    assert data.shape == (1, 1, 700)
    assert data.classes[:2] == ("digit 0", "digit 1")
    assert lengths(data) == [20, 20, 20]
    times, units = spikes(503)
    t = np.rint(times.astype(np.float16).astype(float) * 1e6).astype(int)
    events = [(int(u), 0, int(time), 0) for u, time in zip(units, t, strict=True)]
    np.testing.assert_array_equal(sample(data.test, 3), counts(events, 4, data.shape))
    assert load("shd", tmp_path / "s", tmp_path, downsample=5, validation=0.5).shape == (1, 1, 140)


def test_shd_damage_is_named(tmp_path):
    root = make_shd(tmp_path / "s")
    with h5py.File(root / "shd_train.h5", "a") as file:
        file["spikes/units"][7] = np.array([700])
        file["spikes/times"][7] = np.array([0.5])
    with pytest.raises(DataError) as caught:
        load("shd", root, tmp_path)
    assert [p.where for p in caught.value.problems] == ["shd_train.h5, recording 7"]
    with h5py.File(root / "shd_train.h5", "a") as file:
        file["labels"][3] = 20
    with pytest.raises(DataError, match=r"shd_train\.h5' is damaged: labels from 0 to 20"):
        shd(ShdOptions(root=root), timesteps=2, cache=tmp_path / "cache")
    (root / "shd_test.h5").write_bytes(struct.pack("<Q", 7))
    with h5py.File(root / "shd_train.h5", "a") as file:
        file["labels"][3] = 1
    with pytest.raises(DataError, match=r"shd_test\.h5' is damaged: it is no readable HDF5 file"):
        load("shd", root, tmp_path)


# --- DVS128 objects ----------------------------------------------------------------------------------------


def make_objects(root, seconds=(24, 6)):
    for session, duration in zip("ab", seconds, strict=True):
        (root / f"session_{session}").mkdir(parents=True)
        for number, name in enumerate(OBJECTS):
            events = object_events(session, number, duration)
            (root / f"session_{session}" / f"{name}.aedat").write_bytes(aedat2(events))
    return root


def object_events(session, number, seconds):
    start = 7_000_000 * (number + 1)
    seed = number + 10 * "ab".index(session)
    events = some_events(seed, 40 * seconds, duration=1_000_000 * seconds, start=start)
    return [(0, 0, start, 0), *events, (0, 0, start + 1_000_000 * seconds, 1)]


def test_dvs128_objects_train_on_one_session_and_test_on_the_other(tmp_path):
    root = make_objects(tmp_path / "o")
    data = load("dvs128-objects", root, tmp_path, timesteps=5)
    assert data.classes == OBJECTS
    # 24 s are 240 windows in 12 blocks of 20; blocks 2 and 7 are held out, with 5 windows on either side.
    assert lengths(data) == [5 * (240 - 2 * 30), 5 * 40, 5 * 60]
    first = 7_000_000 * 4
    inside = [e for e in object_events("b", 3, 6) if first + 200_000 <= e[2] < first + 300_000]
    expected = counts(inside, 5, data.shape, first=first + 200_000, last=first + 300_000)
    np.testing.assert_array_equal(sample(data.test, 3 * 60 + 2), expected)
    other = load("dvs128-objects", root, tmp_path, timesteps=5, train_session="b")
    assert lengths(other)[2] == 5 * 240
    assert set(other.test.rows.tolist()).isdisjoint(
        other.train.rows.tolist() + other.validation.rows.tolist()
    )
    assert "Trained on session b, tested on session a" in other.notes[0]


def test_no_training_window_of_objects_is_near_a_validation_window(tmp_path):
    data = load("dvs128-objects", make_objects(tmp_path / "o"), tmp_path)
    window = {name: getattr(data, name).rows % 240 for name in ("train", "validation")}
    gap = (window["train"][:, None] - window["validation"]).abs().min()
    assert gap == 6


def test_real_objects(tmp_path):
    root = real_data("DVS128-objects")
    options = Dvs128ObjectsOptions(root=root, downsample=8)
    data = dvs128_objects(options, timesteps=2, cache=tmp_path / "cache")
    assert lengths(data) == [1212, 320, 944]
    assert data.test.labels.bincount().tolist() == [184, 183, 185, 205, 187]
