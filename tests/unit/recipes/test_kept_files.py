"""Files that a recipe begins with: known by path and SHA-256, copied, and never other bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from snn_deploy.core.errors import DataError
from snn_deploy.recipes.kept_files import keep_files, kept_file, settle_files


def content(path: str, **more) -> dict:
    return {
        "student": {"name": "converted", "network": path, **more},
        "teacher": {"name": "cnn", "file": "x"},
    }


def test_a_path_begins_in_the_recipes_folder_and_the_hash_is_recorded(tmp_path):
    (tmp_path / "net.nir").write_bytes(b"one")
    recipe = content("net.nir")
    assert list(settle_files(recipe, tmp_path)) == []
    digest = hashlib.sha256(b"one").hexdigest()
    assert recipe["student"] == {"name": "converted", "network": str(tmp_path / "net.nir"), "sha256": digest}
    assert kept_file(Path(recipe["student"]["network"]), digest) == tmp_path / "net.nir"


def test_what_is_missing_or_changed_is_a_problem(tmp_path):
    (missing,) = settle_files(content("net.nir"), tmp_path)
    assert missing.where == "student.network" and "is not there" in missing.what
    (tmp_path / "net.nir").write_bytes(b"two")
    (changed,) = settle_files(content("net.nir", sha256=hashlib.sha256(b"three").hexdigest()), tmp_path)
    assert "has changed since" in changed.what


def test_a_copy_stands_in_for_a_file_that_is_gone_or_changed(tmp_path):
    file, kept = tmp_path / "net.nir", tmp_path / "code"
    file.write_bytes(b"four")
    recipe = content(str(file))
    assert not list(settle_files(recipe, tmp_path))
    keep_files(recipe, kept)
    before = dict(recipe["student"])
    for change in (lambda: file.write_bytes(b"five"), file.unlink):
        change()
        assert list(settle_files(recipe, tmp_path, kept)) == []
        assert recipe["student"] == before
        assert kept_file(file, before["sha256"]).read_bytes() == b"four"


def test_bytes_that_change_under_a_settled_recipe_are_refused(tmp_path):
    file = tmp_path / "net.nir"
    file.write_bytes(b"six")
    recipe = content(str(file))
    assert not list(settle_files(recipe, tmp_path))
    file.write_bytes(b"seven")
    with pytest.raises(DataError, match="has changed since"):
        kept_file(file, recipe["student"]["sha256"])
