"""The forms that one data set is spread in give the same frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.io import savemat
from support.recordings import AEDAT2_HEADER, aedat3, aedat4, some_events

from snn_deploy.data.options.sets import Cifar10DvsOptions, DvsGestureOptions
from snn_deploy.data.sets.cifar10_dvs import CLASSES, cifar10_dvs
from snn_deploy.data.sets.dvs_gesture import dvs_gesture


def camera(seed, count=300):
    """Raw columns x', y', time and the polarity bit of a DVS128; left below more than elsewhere."""
    rng = np.random.default_rng(seed)
    x, y, bit = rng.integers(20, 60, count), rng.integers(90, 120, count), rng.integers(0, 2, count)
    return x, y, np.sort(rng.integers(0, 10**6, count)), bit


def published(x, y, t, bit):
    words = np.stack([y << 8 | x << 1 | bit, t], 1).astype(">u4")
    return AEDAT2_HEADER + words.tobytes()


def dat2mat(path, x, y, t, bit):
    """As the authors' script writes it."""
    savemat(path, {"out1": np.stack([t - t[0], 127 - x, y, 1 - 2 * bit], 1).astype(float)})


def vectors(path, x, y, t, bit):
    savemat(path, {"ts": t, "x": 127 - x, "y": y, "pol": 1 - bit}, do_compression=True)


def upright(x, y, t, bit):
    """Of the image: column 127 - y', row 127 - x'."""
    return [tuple(map(int, event)) for event in zip(127 - y, 127 - x, t, 1 - bit, strict=True)]


def write(root, form):
    for label, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(10):
            raw = camera(10 * label + number)
            path = root / name / f"cifar10_{name}_{number}"
            if form == "aedat":
                path.with_suffix(".aedat").write_bytes(published(*raw))
            elif form == "aedat4":
                path.with_suffix(".aedat4").write_bytes(aedat4([upright(*raw)], compression=0))
            else:
                (dat2mat if form == "mat" else vectors)(path.with_suffix(".mat"), *raw)
    return root


@pytest.mark.parametrize("options", [{}, {"binning": "count"}, {"crop": 100, "downsample": 4}])
@pytest.mark.parametrize("form", ["mat", "vectors", "aedat4"])
def test_cifar10_dvs(tmp_path, form, options):
    frames = []
    for kind in ("aedat", form):
        made = Cifar10DvsOptions(root=write(tmp_path / kind, kind), binary=False, **options)
        data = cifar10_dvs(made, timesteps=4, cache=tmp_path / "cache")
        frames.append(data.test.batch(torch.arange(len(data.test))))
    assert torch.equal(*frames)
    if not options:
        seen = frames[0].sum((0, 1, 2)).nonzero()
        assert (seen.min(0).values >= torch.tensor([127 - 59, 127 - 119])).all()
        assert (seen.max(0).values <= torch.tensor([127 - 20, 127 - 90])).all()


def test_dvs_gesture(tmp_path):
    """The publisher's recording with labels, and tonic's cut one in whole milliseconds."""
    labels = [(1, 10_000, 40_000), (4, 60_000, 95_000)]
    both = tmp_path / "published", tmp_path / "tonic"
    for root in both:
        root.mkdir()
    trials = {name: [] for name in ("train", "test")}
    for user, part in ((1, "train"), (2, "train"), (24, "test")):
        events = [(x, y, t // 1000 * 1000, p) for x, y, t, p in some_events(user, 500, duration=100_000)]
        name = f"user{user:02d}_led"
        trials[part].append(f"{name}.aedat\n")
        (both[0] / f"{name}.aedat").write_bytes(aedat3(events))
        rows = "".join(f"{label},{start},{stop}\n" for label, start, stop in labels)
        (both[0] / f"{name}_labels.csv").write_text(f"class,startTime_usec,endTime_usec\n{rows}")
        folder = both[1] / f"ibmGesture{part.capitalize()}" / name
        folder.mkdir(parents=True)
        for label, start, stop in labels:
            own = [(x, y, p, t / 1000) for x, y, t, p in events if start <= t < stop]
            np.save(folder / f"{label - 1}.npy", np.array(own))
    for part, names in trials.items():
        (both[0] / f"trials_to_{part}.txt").write_text("".join(names))
    frames = []
    for root in both:
        made = DvsGestureOptions(root=root, binary=False, validation_users=1)
        data = dvs_gesture(made, timesteps=5, cache=tmp_path / "cache")
        frames.append(
            [split.batch(torch.arange(len(split))) for split in (data.train, data.validation, data.test)]
        )
    assert all(torch.equal(a, b) for a, b in zip(*frames, strict=True))
    assert frames[0][0].sum() > 200
