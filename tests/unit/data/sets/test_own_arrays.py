"""Data of the user's own: every form gives the same samples, and what is no data is refused by its number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from snn_deploy.core import memory
from snn_deploy.core.errors import DataError
from snn_deploy.data.sets.own_arrays import as_data_set

T, N = 3, 20
X = np.random.default_rng(0).random((N, T, 2, 4, 5)).astype(np.float32)
Y = np.arange(N) % 4


class Samples(Dataset):
    classes = ("up", "down", "left", "right")

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return torch.from_numpy(X[i]), Y[i]


def as_npz(folder: Path) -> str:
    np.savez(folder / "x.npz", x=X.swapaxes(0, 1), y=Y)
    return "x.npz"


def as_npy(folder: Path) -> tuple[str, Path]:
    np.save(folder / "x.npy", X)
    np.save(folder / "y.npy", Y)
    return "x.npy", folder / "y.npy"


FORMS: dict[str, Callable[[Path], Any]] = {
    "arrays": lambda folder: (X, Y),
    "tensors": lambda folder: (torch.from_numpy(X), torch.from_numpy(Y)),
    "npz": as_npz,
    "npy": as_npy,
    "Dataset": lambda folder: Samples(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_data(form, tmp_path):
    found = as_data_set(FORMS[form](tmp_path), "mine", T, tmp_path)
    wanted = as_data_set((X, Y), "mine", T, tmp_path)
    assert found.digest == wanted.digest
    assert found.shape == (2, 4, 5)
    assert found.classes == (Samples.classes if form == "Dataset" else ("0", "1", "2", "3"))
    for split, like in zip((found.train, found.validation, found.test), splits(wanted), strict=True):
        every = torch.arange(len(split))
        assert torch.equal(split.batch(every), like.batch(every))
        assert torch.equal(split.labels, like.labels)
    seen = torch.cat([split.batch(torch.arange(len(split))) for split in splits(found)], 1)
    assert sorted(seen[0, :, 0, 0, 0].tolist()) == sorted(X[:, 0, 0, 0, 0].tolist()), "each sample once"


def splits(found: Any) -> tuple[Any, Any, Any]:
    return found.train, found.validation, found.test


def test_parts(tmp_path):
    given = {"train": (X[:15], Y[:15]), "test": (X[15:], Y[15:]), "classes": "abcd"}
    found = as_data_set(given, "mine", T, tmp_path)
    assert [len(split) for split in splits(found)] == [11, 4, 5]
    assert found.classes == tuple("abcd")
    assert torch.equal(found.test.batch(torch.arange(5)), torch.from_numpy(X[15:]).transpose(0, 1))
    named = {**given, "validation": (X[:4], Y[:4])}
    assert [len(split) for split in splits(as_data_set(named, "mine", T, tmp_path))] == [15, 4, 5]


def test_what_is_only_shown_is_not_divided(tmp_path):
    """All samples are for test; images take the steps that are stated, frames have their own."""
    found = as_data_set((X, Y), "mine", None, tmp_path, divide=False)
    assert [len(split) for split in splits(found)] == [N, N, N]
    found = as_data_set({"test": (X, Y)}, "mine", 7, tmp_path, divide=False)
    assert found.test.batch(torch.arange(2)).shape == (T, 2, 2, 4, 5)
    images = as_data_set((X[:, 0], Y), "mine", 7, tmp_path, divide=False).test.batch(torch.arange(N))
    assert torch.equal(images, torch.from_numpy(X[:, 0]).expand(7, N, 2, 4, 5))


WRONG: dict[str, tuple[Any, str]] = {
    "rank": ((X[0], Y), "due are finite x"),
    "count": ((X, Y[1:]), "y (19,)"),
    "steps": ((X[:, :2], Y), "2 frames per sample; the recipe has timesteps 3"),
    "not finite": ((np.where(X > 0.5, np.nan, X), Y), "finite"),
    "labels": ((X, Y + 0.5), "whole numbers from 0"),
    "negative": ((X, Y - 1), "whole numbers from 0"),
    "kind": (3, "gives a int, which is no data"),
    "parts": ({"train": (X, Y)}, "due are train, test"),
    "names": ({"all": (X, Y), "classes": "ab"}, "names 2 classes, but has labels up to 3"),
    "missing": ("nowhere.npz", "cannot be read"),
    "shapes": ({"train": (X, Y), "test": (X[..., 1:], Y)}, "different shapes"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_no_data(fault, tmp_path):
    made, said = WRONG[fault]
    with pytest.raises(DataError) as caught:
        as_data_set(made, "mine", T, tmp_path)
    assert said in str(caught.value)


def test_datasets_that_cannot_be_taken(tmp_path, monkeypatch):
    class Pictures(Samples):
        def __getitem__(self, i: int) -> tuple[Any, Any]:
            return object(), 0

    class Ragged(Samples):
        def __getitem__(self, i: int) -> tuple[Any, Any]:
            return torch.zeros(1, 4, 4 + i // 7), 0

    with pytest.raises(DataError, match="Give it a transform"):
        as_data_set(Pictures(), "mine", T, tmp_path)
    with pytest.raises(DataError, match=r"Sample 7 of 'mine' has shape \(1, 4, 5\)"):
        as_data_set(Ragged(), "mine", T, tmp_path)
    monkeypatch.setattr(memory, "free", lambda: X.nbytes - 1)
    with pytest.raises(DataError, match=r"stay on the disk"):
        as_data_set(Samples(), "mine", T, tmp_path)
