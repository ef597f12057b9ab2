"""Recordings mean what their author meant: restarts, beginnings of windows, order of labels, other clocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.recordings import aedat2, some_events

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats import base, numpy_files
from snn_deploy.data.options.sets import EventFolderOptions
from snn_deploy.data.sets.event_folder import event_folder
from snn_deploy.data.sets.event_table import ordered

DTYPE = np.dtype([("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "u1")])


def recording(t, x=0):
    made = np.zeros(len(t), DTYPE)
    made["t"], made["x"], made["p"] = t, x, 1
    return made


def folder(root, test, lines="test.npy,a,test\n", heading="path,label,split"):
    root.mkdir()
    np.save(root / "ok.npy", recording(np.arange(50)))
    np.save(root / "test.npy", test)
    more = "," * (heading.count(",") - 2)
    known = "".join(f"ok.npy,{label},{part}{more}\n" for label in "ab" for part in ("train", "validation"))
    (root / "recordings.csv").write_text(f"{heading}\n{known}{lines}")
    return root


def load(root, timesteps=4, **options):
    made = EventFolderOptions(root=root, height=4, width=4, **({"binary": False} | options))
    return event_folder(made, timesteps=timesteps, cache=root / "cache")


def per_frame(data):
    return data.test.batch(torch.arange(1))[:, 0].sum((1, 2, 3)).tolist()


def columns(data):
    frames = data.test.batch(torch.arange(1))[:, 0]
    return [sorted(set(frame.nonzero()[:, -1].tolist())) for frame in frames]


def restarted(count, step, start=0):
    t = np.tile(np.arange(count) * step, 2)
    t[count:] += start
    return recording(t, np.repeat([0, 3], count))


@pytest.mark.parametrize(
    "made",
    [restarted(100, 10), restarted(300_000, 1), restarted(1000, 5000, start=700), restarted(2, 501)],
    ids=["short", "long", "not to 0", "two events"],
)
@pytest.mark.parametrize("part", [64, 1 << 18])
def test_a_clock_that_is_set_back_is_refused_or_continued(tmp_path, monkeypatch, made, part):
    if len(made) > 10_000 and part == 64:
        pytest.skip("slow, and the same")
    monkeypatch.setattr(numpy_files, "PART", part)
    monkeypatch.setattr(base, "PART", part)
    root = folder(tmp_path / "f", made)
    with pytest.raises(DataError) as caught:
        load(root)
    assert "over 500 us: two recordings" in caught.value.problems[0].what
    data = load(root, clock="continue")
    seen = columns(data)
    assert seen[0] == [0]
    assert seen[-1] == [3]
    assert sum(per_frame(data)) == (
        len(made) if len(made) < 500 else pytest.approx(1020, abs=3)
    )  # 255 a pixel
    assert "The clock was set back once and goes on there (data.clock: continue)." in data.notes


def test_jitter_is_moved_and_counted(tmp_path):
    t = np.arange(0, 100_000, 100)
    t[500] -= 450
    t[999] -= 300
    data = load(folder(tmp_path / "f", recording(t)))
    frame = np.minimum((t - t.min()) // ((t.max() - t.min()) // 4), 3)
    assert per_frame(data) == np.bincount(frame).tolist()
    assert "2 events came up to 500 us late and were moved to their place." in data.notes


def test_a_long_pause_is_noted(tmp_path):
    data = load(folder(tmp_path / "f", recording([0, 1, 20_000_000, 20_000_001])))
    assert per_frame(data) == [2, 0, 0, 2]
    assert "The clock steps forward by more than 10 s once." in data.notes


TIMES = "path,label,split,start_us,stop_us"


@pytest.mark.parametrize(
    ("t", "line", "window", "expected", "outside"),
    [
        (np.arange(100_000, 900_001, 50_000), "0,1000000", 200_000, [2, 4, 4, 4, 3], None),
        (np.arange(100_000, 900_001, 50_000), "50000,", 200_000, [3, 4, 4, 4, 2], None),
        (np.arange(100_000, 900_001, 50_000), "0,1000000", 100_000, [0, 2, 2, 2, 2], "9 of 217"),
        (np.arange(100_000, 900_001, 50_000), ",", 200_000, [4, 4, 4, 4, 1], None),
        (np.arange(0, 100_000, 100), ",", 1000, [10, 10, 10, 10, 10], "950 of 1,200"),
    ],
)
def test_windows_begin_where_the_table_says(tmp_path, t, line, window, expected, outside):
    root = folder(tmp_path / "f", recording(t), f"test.npy,a,test,{line}\n", TIMES)
    data = load(root, 5, window=window)
    assert per_frame(data) == expected
    notes = [note for note in data.notes if "outside of the frames" in note]
    assert [note.partition(" events")[0] for note in notes] == ([] if outside is None else [outside])


def test_frames_follow_the_times_of_another_clock(tmp_path):
    t = np.arange(0, 1000, 10)
    root = folder(tmp_path / "f", recording(t), "test.npy,a,test,camera.txt\n", "path,label,split,frames")
    (root / "camera.txt").write_text("100\n105\n300\n900\n")
    data = load(root, 3)
    assert per_frame(data) == [1, 19, 60]
    assert "20 of 300 events lie outside of the frames and are left out." in data.notes
    with pytest.raises(DataError, match="1 of 2 recordings") as caught:
        load(root, 5)
    assert "4 times of frames are stated; 5 frames have 6 bounds" in caught.value.problems[0].what
    for content, message in (("1 2 2", "each after the one before"), ("1 x", "whole microseconds")):
        (root / "camera.txt").write_text(content)
        with pytest.raises(DataError) as caught:
            load(root, 3)
        assert message in caught.value.problems[0].what


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("10 9 2 1 0", "0 1 2 9 10"),
        ("-1 10 -10 2", "-10 -1 2 10"),
        ("10 9 2 b", "10 2 9 b"),
        ("v10 v9", "v10 v9"),
        ("1 01 1.5", "01 1 1.5"),
    ],
)
def test_labels_that_are_numbers_are_in_their_order(labels, expected):
    assert ordered(labels.split()) == expected.split()


def test_a_folder_of_class_folders_needs_no_table(tmp_path):
    root = tmp_path / "f"
    for label in ("10", "9"):
        (root / label).mkdir(parents=True)
        for number in range(10):
            np.save(root / label / f"{number}.npy", recording(np.arange(50 + number), int(label) % 4))
    (root / "10" / "readme.md").write_text("no recording")
    data = load(root)
    assert data.classes == ("9", "10")
    assert [len(s) for s in (data.train, data.validation, data.test)] == [14, 2, 4]
    assert data.test.labels.tolist() == [1, 1, 0, 0]
    assert columns(data)[0] == [2]
    assert "the last 20% of each class, in the order of file names, are for test" in data.notes[0]


def test_folders_state_the_split(tmp_path):
    root = tmp_path / "f"
    for part, count in (("train", 3), ("validation", 1), ("test", 2)):
        for label in "ab":
            (root / part / label).mkdir(parents=True)
            for number in range(count):
                np.save(root / part / label / f"{number}.npy", recording(np.arange(50)))
    data = load(root)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [6, 2, 4]
    assert data.notes == (
        "Your recordings in 'f', divided by their folders; validation: as the folders say.",
    )
    for path in (root / "test").glob("*/*"):
        path.unlink()
    with pytest.raises(DataError, match="has no recording in test"):
        load(root)


def test_an_unknown_layout_is_said_to_be_unknown_and_can_be_named(tmp_path):
    t = np.arange(0, 4000, 10)
    root = folder(tmp_path / "f", np.zeros((3, 7)))
    with pytest.raises(DataError, match="are of an unknown layout") as caught:
        load(root)
    assert "data.columns" in caught.value.hint
    assert "of shape (3, 7)" in caught.value.problems[0].what
    one = np.zeros_like(t)
    np.save(root / "test.npy", np.stack([one, t, one, one + 3, one + 2, one, 2 * (t > 1990) - 1], 1))
    np.save(root / "ok.npy", np.load(root / "test.npy"))
    data = load(root, columns=("_", "t", "_", "x", "y", "_", "p"))
    assert per_frame(data) == [100, 100, 100, 100]
    frames = data.test.batch(torch.arange(1))[:, 0]
    assert [int(n) for n in frames[:, 1, 2, 3]] == [0, 0, 100, 100]
    with pytest.raises(ValueError, match="once each"):
        EventFolderOptions(height=4, width=4, columns=("x", "y", "p"))
    with pytest.raises(ValueError, match="of nothing else"):
        EventFolderOptions(height=4, width=4, columns={"x": "a"})


def test_a_wrapped_clock_is_no_restart(tmp_path):
    """AEDAT 2.0 wraps at 2^32 microseconds."""
    events = some_events(1, 400, height=4, width=4, duration=1_000_000, start=2**32 - 500_000)
    root = folder(tmp_path / "f", recording([0, 1]), "a.aedat,a,test\n")
    raw = [(x + 124, y + 124, t, p) for x, y, t, p in events]
    (root / "a.aedat").write_bytes(aedat2(raw))
    made = EventFolderOptions(root=root, height=128, width=128, binary=False)
    data = event_folder(made, timesteps=4, cache=root / "cache")
    assert sum(per_frame(data)) == 400
    assert len(data.notes) == 1
