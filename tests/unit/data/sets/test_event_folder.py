from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.data import real_data
from support.recordings import aedat2, bits40, some_events

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.data.options.sets import EventFolderOptions
from snn_deploy.data.sets.event_folder import event_folder
from snn_deploy.data.sets.event_table import read_table

SIZE = {"height": 30, "width": 40}


def events(seed):
    return some_events(seed, 80, duration=90_000, **SIZE)


def make_folder(root, table=None):
    (root / "more").mkdir(parents=True)
    for number in range(6):
        (root / f"{number}.bin").write_bytes(bits40(events(number)))
    (root / "more" / "a.aedat").write_bytes(aedat2(events(6)))
    np.save(root / "more" / "b.npy", np.array(events(7))[:, [0, 1, 3, 2]])
    lines = [f"{number}.bin,{'cat' if number % 2 else 'ant'},train" for number in range(4)]
    lines += ["4.bin,ant,validation", "5.bin,cat,test", "more/a.aedat,ant,test", "more/b.npy,cat,test"]
    (root / "recordings.csv").write_text(table or "\n".join(["path,label,split", *lines]) + "\n")
    return root


def load(root, tmp_path, **options):
    made = EventFolderOptions(root=root, binary=False, **(SIZE | options))
    return event_folder(made, timesteps=2, cache=tmp_path / "cache")


def frames_of(recorded):
    """Two frames of equal time, counted one by one."""
    first, last = recorded[0][2], recorded[-1][2]
    frames = np.zeros((2, 2, 30, 40))
    for x, y, t, p in recorded:
        frames[min((t - first) // max(1, (last - first) // 2), 1), p, y, x] += 1
    return frames


def sample(split, index):
    return split.batch(torch.tensor([index]))[:, 0].numpy()


def test_files_of_several_formats_with_the_tables_split(tmp_path):
    data = load(make_folder(tmp_path / "f"), tmp_path)
    assert (data.shape, data.classes) == ((2, 30, 40), ("ant", "cat"))
    assert data.train.labels.tolist() == [0, 1, 0, 1]
    assert (data.validation.labels.tolist(), data.test.labels.tolist()) == ([0], [1, 0, 1])
    for index, seed in enumerate((5, 6, 7)):
        np.testing.assert_array_equal(sample(data.test, index), frames_of(events(seed)))
    assert data.notes == (
        "Your recordings in 'f', divided by the table 'recordings.csv'; validation: as the table says.",
    )


def test_parts_of_a_recording(tmp_path):
    table = (
        "split,start_us,stop_us,label,path,comment\n"
        "test,50000,,late,0.bin,to the end\n"
        "train,,20000,early,0.bin,from the beginning\n"
        "validation,20000,50000,early,0.bin,\n"
        "train,1000,80000,late,1.bin,\n"
    )
    data = load(make_folder(tmp_path / "f", table), tmp_path)
    assert data.classes == ("early", "late")
    first = {"train": (0, 20_000), "validation": (20_000, 50_000), "test": (50_000, 1 << 60)}
    for name, (start, stop) in first.items():
        inside = [e for e in events(0) if start <= e[2] < stop]
        np.testing.assert_array_equal(sample(getattr(data, name), 0), frames_of(inside))
    assert data.train.labels.tolist() == [0, 1]


def test_validation_is_held_out_where_the_table_has_none(tmp_path):
    table = "path,label,split\n" + "".join(f"{n}.bin,x,{'test' if n == 5 else 'train'}\n" for n in range(6))
    data = load(make_folder(tmp_path / "f", table), tmp_path, validation=0.4)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [3, 2, 1]
    assert "40% of the training samples" in data.notes[0]


BAD = """path,label,split,start_us,stop_us
0.bin,a,train,,
0.bin,a,training,,
0.bin,,train,,
../0.bin,a,train,,
/etc/passwd,a,train,,
absent.bin,a,train,,
recordings.csv,a,train,,
0.bin,a,train,5,5
0.bin,a,train,-1,
0.bin,a,train,1.5,
0.bin,a,test,,
"""


def test_all_wrong_lines_are_named(tmp_path):
    root = make_folder(tmp_path / "f", BAD)
    with pytest.raises(DataError, match="9 lines of") as caught:
        load(root, tmp_path)
    found = [(p.where, p.what) for p in caught.value.problems]
    assert [where for where, _ in found] == [f"line {n}" for n in range(3, 12)]
    expected = (
        "the split 'training'; known: train, validation, test",
        "no label",
        "'../0.bin' lies outside of the folder",
        "'/etc/passwd' lies outside of the folder",
        "there is no file 'absent.bin'",
        "'recordings.csv' is of no known format",
        "it ends at 5 us, not after its start at 5",
        "the time '-1'",
        "the time '1.5'",
    )
    for (_, what), text in zip(found, expected, strict=True):
        assert what.startswith(text)


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    root = make_folder(tmp_path / "f")
    (tmp_path / "secret.bin").write_bytes(bits40(events(1)))
    (root / "5.bin").unlink()
    (root / "5.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(DataError, match="1 lines of") as caught:
        load(root, tmp_path)
    assert "lies outside" in caught.value.problems[0].what


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,label\n0.bin,a\n", "lacks the column split"),
        ("\n", "lacks the column path, label, split"),
        ("path,label,split\n0.bin,a,test\n", "has no line whose split is 'train'"),
        ("path,label,split\n0.bin,a,train\n", "has no line whose split is 'test'"),
        ('path,label,split\n"' + "x" * 200_000 + "\n", "cannot be read"),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path, table, message):
    with pytest.raises(DataError, match=message):
        load(make_folder(tmp_path / "f", table), tmp_path)


def test_missing_things_are_said(tmp_path):
    with pytest.raises(ConfigError, match="needs a folder"):
        load(None, tmp_path)
    with pytest.raises(ConfigError, match="nothing to download"):
        load(tmp_path, tmp_path, download=True)
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "nowhere", tmp_path)
    with pytest.raises(ValidationError):
        EventFolderOptions(root=tmp_path)


def test_damaged_recordings_are_left_out_when_asked(tmp_path):
    root = make_folder(tmp_path / "f")
    (root / "2.bin").write_bytes(b"123")
    with pytest.raises(DataError, match="1 of 8 recordings") as caught:
        load(root, tmp_path)
    assert caught.value.problems[0].where == "2.bin"
    data = load(root, tmp_path, skip_damaged=True)
    assert data.train.labels.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(sample(data.train, 2), frames_of(events(3)))
    assert data.notes[-1] == "1 of 8 recordings are damaged and left out: 2.bin."


def test_the_real_dvs_gesture_recording(tmp_path):
    """One recording has one label; its halves stand for a split."""
    root = real_data("DVSGesture-one-recording")
    table = tmp_path / "t.csv"
    table.write_text(
        "path,label,split,start_us,stop_us\n0_0.hdf5,0,train,,2500000\n0_0.hdf5,0,test,2500000,\n"
    )
    lines = read_table(table, root)
    assert [(line.start, line.stop) for line in lines] == [(None, 2_500_000), (2_500_000, None)]
