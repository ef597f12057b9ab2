from __future__ import annotations

import pytest
import torch

from snn_deploy.data.loading.arrays import ArraySplit


@pytest.fixture
def split():
    frames = torch.randint(0, 256, (6, 3, 2, 4, 5), dtype=torch.uint8)
    rows = torch.tensor([4, 1, 5])
    return ArraySplit(frames, rows, torch.tensor([7, 8, 9]))


def test_batch_is_time_first_float_and_contiguous(split):
    x = split.batch(torch.tensor([2, 0]))
    assert x.shape == (3, 2, 2, 4, 5)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    for step in range(3):
        assert torch.equal(x[step, 0], split.frames[5, step].float())
        assert torch.equal(x[step, 1], split.frames[4, step].float())


def test_length_and_labels(split):
    assert len(split) == 3
    assert split.labels.tolist() == [7, 8, 9]


def test_moving_keeps_only_the_own_samples(split):
    moved = split.to("meta")
    assert moved.frames.shape == (3, 3, 2, 4, 5)
    assert moved.frames.dtype == torch.uint8
    assert {moved.frames.device.type, moved.rows.device.type, moved.labels.device.type} == {"meta"}
    assert split.to("cpu") is split


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_on_a_device_equal_those_in_memory(split):
    indices = torch.tensor([1, 2, 0])
    x = split.to("cuda").batch(indices)
    assert x.device.type == "cuda"
    assert torch.equal(x.cpu(), split.batch(indices))
    assert torch.equal(split.to("cuda").labels.cpu(), split.labels)


def test_an_index_outside_the_split_is_an_error(split):
    with pytest.raises(IndexError):
        split.batch(torch.tensor([3]))
