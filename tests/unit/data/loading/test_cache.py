from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from snn_deploy.core.errors import ConfigError
from snn_deploy.data.loading import cache
from snn_deploy.data.loading.cache import cache_dir, cached, content_digest

KEY = {"data": "test", "timesteps": 3}


def content():
    return {"frames": torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4), "labels": torch.tensor([5, 6])}


def build(put):
    for frame in content()["frames"].numpy():
        put(frame[None])
    return {"labels": content()["labels"]}


def never(put):
    raise AssertionError("built although the cache holds it")


def same(tensors):
    expected = content()
    return tensors.keys() == expected.keys() and all(torch.equal(tensors[k], expected[k]) for k in expected)


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_second_call_reads_what_the_first_made(tmp_path):
    first = cached(tmp_path / "new", "test", KEY, build)
    second = cached(tmp_path / "new", "test", dict(reversed(KEY.items())), never)
    assert same(first.tensors)
    assert same(second.tensors)
    assert first.digest == second.digest == content_digest(content())
    assert only_file(tmp_path / "new").name.startswith("test-")


def test_another_key_is_another_entry(tmp_path):
    cached(tmp_path, "test", KEY, build)
    other = cached(tmp_path, "test", KEY | {"timesteps": 4}, lambda put: {"labels": torch.tensor([3])})
    assert {name: tensor.tolist() for name, tensor in other.tensors.items()} == {"labels": [3]}
    assert len(list(tmp_path.iterdir())) == 2


def flip(position):
    def damage(file: Path):
        content = bytearray(file.read_bytes())
        content[position] ^= 1
        file.write_bytes(content)

    return damage


def other_key(file: Path):
    tensors = content()
    save_file(tensors, file, metadata={"key": "{}", "sha256": content_digest(tensors)})


def other_content(file: Path):
    with_key = {"key": '{"data": "test", "timesteps": 3}', "sha256": content_digest(content())}
    save_file({"frames": torch.zeros(2)}, file, metadata=with_key)


@pytest.mark.parametrize(
    "damage",
    [
        flip(0),
        flip(7),
        flip(60),
        flip(-1),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(b"\xff" * 8),
        lambda file: save_file(content(), file),
        other_key,
        other_content,
    ],
)
def test_damaged_file_is_built_again(tmp_path, damage):
    cached(tmp_path, "test", KEY, build)
    damage(only_file(tmp_path))
    with pytest.warns(RuntimeWarning, match="cache file .* is damaged: .* The data are built again"):
        assert same(cached(tmp_path, "test", KEY, build).tensors)
    assert same(cached(tmp_path, "test", KEY, never).tensors)


def test_nothing_is_left_of_a_failed_build(tmp_path):
    def fail(put):
        build(put)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "test", KEY, fail)
    assert list(tmp_path.iterdir()) == []


def full(*_args):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("place", ["put", "finish"])
def test_full_disk_costs_the_cache_but_not_the_data(tmp_path, monkeypatch, place):
    monkeypatch.setattr(cache._Writer, place, full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        assert same(cached(tmp_path, "test", KEY, build).tensors)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_and_too_little_memory_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(cache._Writer, "put", full)
    monkeypatch.setattr(cache, "MAX_MEMORY", 23)
    with pytest.warns(RuntimeWarning), pytest.raises(ConfigError, match="no cache file can be written"):
        cached(tmp_path, "test", KEY, build)


def test_frames_are_written_as_they_are_made(tmp_path):
    """Half of the frames are on the disk before the other half is made."""
    block = np.zeros((1, 1 << 20), np.uint8)

    def halves(put):
        put(block)
        (file,) = tmp_path.iterdir()
        assert file.stat().st_size >= block.nbytes // 2
        put(block + 1)
        return {}

    made = cached(tmp_path, "test", KEY, halves)
    assert made.tensors["frames"].sum().item() == block.nbytes


def test_other_readers_of_safetensors_read_it(tmp_path):
    cached(tmp_path, "test", KEY, build)
    assert same(load_file(only_file(tmp_path)))


def test_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="SNN_DEPLOY_CACHE"):
        assert same(cached(tmp_path / "file", "test", KEY, build).tensors)


def in_process(folder, barrier, results):
    def slow_build(put):
        barrier.wait(60)  # both processes have found nothing and are building
        return build(put)

    results.put(cached(folder, "test", KEY, slow_build).digest)


def test_two_processes_that_build_at_once_agree(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    both = [context.Process(target=in_process, args=(tmp_path, barrier, results)) for _ in range(2)]
    for process in both:
        process.start()
    digests = {results.get(timeout=60) for _ in both}
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert digests == {content_digest(content())}
    assert same(cached(tmp_path, "test", KEY, never).tensors)
    only_file(tmp_path)


def test_digest_sees_name_type_shape_and_content():
    a = torch.tensor([1, 2, 3, 4], dtype=torch.int32)
    variants = [
        {"a": a},
        {"b": a},
        {"a": a.reshape(2, 2)},
        {"a": a.view(torch.float32)},
        {"a": a + 1},
        {"a": a, "b": torch.zeros(0)},
    ]
    assert len({content_digest(v) for v in variants}) == len(variants)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"SNN_DEPLOY_CACHE": "~/mine"}, "~/mine"),
        ("linux", {}, "~/.cache/snn-deploy"),
        ("linux", {"XDG_CACHE_HOME": "/var/xdg"}, "/var/xdg/snn-deploy"),
        ("darwin", {"XDG_CACHE_HOME": "/var/xdg"}, "~/Library/Caches/snn-deploy"),
        ("win32", {}, "~/AppData/Local/snn-deploy"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/snn-deploy"),
    ],
)
def test_cache_folder_of_each_platform(monkeypatch, platform, environment, expected):
    for name in ("SNN_DEPLOY_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_dir() == Path(expected).expanduser()
