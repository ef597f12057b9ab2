"""Bytes that changed in what a run keeps, and what a run that goes on says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.toy import toy_data, toy_recipe

from snn_deploy.core.errors import DataError
from snn_deploy.distill.run import distill
from snn_deploy.distill.teacher import teacher_identity
from snn_deploy.recipes.recipe import Recipe
from snn_deploy.recipes.run_folder import Run


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_DEPLOY_CACHE", str(tmp_path / "cache"))


def go(folder: Path, recipe: Recipe, **options: object) -> Run:
    run = Run.open(folder) if (folder / "recipe.yaml").exists() else Run.create(folder, recipe)
    distill(recipe, toy_data(), run, device="cpu", **options)  # type: ignore[arg-type]
    return run


def test_a_byte_that_changed_in_a_cached_teacher_is_found(tmp_path: Path) -> None:
    recipe, said = toy_recipe(), []
    first = go(tmp_path / "a", recipe)
    kept = tmp_path / "cache" / "teachers" / f"{teacher_identity(recipe, toy_data())}.safetensors"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    again = go(tmp_path / "b", recipe, report=lambda event: said.append(str(event)))
    assert again.result()["teacher"]["origin"] == "trained"
    assert [line for line in said if line.startswith("the cached teacher cannot be used")]
    assert kept.read_bytes() == first.teacher_file.read_bytes() == again.teacher_file.read_bytes()


def test_a_run_whose_teacher_changed_does_not_go_on(tmp_path: Path) -> None:
    go(tmp_path / "a", toy_recipe())
    run = go(tmp_path / "b", toy_recipe())
    whole = run.teacher_file.read_bytes()
    for position in (20, len(whole) - 1):
        run.teacher_file.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(DataError, match="it has changed since the run began"):
            go(tmp_path / "b", toy_recipe(), resume=True)


def test_a_run_that_goes_on_with_other_threads_says_so(tmp_path: Path) -> None:
    run, said = go(tmp_path / "run", toy_recipe()), []
    facts = {**json.loads(run.environment_file.read_text()), "threads": 7}
    run.environment_file.write_text(json.dumps(facts))
    go(tmp_path / "run", toy_recipe(), resume=True, report=lambda event: said.append(str(event)))
    assert any(line.startswith("the run goes on with threads 1; before: threads 7.") for line in said)
    said.clear()
    go(tmp_path / "run", toy_recipe(), resume=True, report=lambda event: said.append(str(event)))
    assert not any("goes on with" in line for line in said)


def test_a_result_that_was_deleted_is_written_again(tmp_path: Path) -> None:
    run = go(tmp_path / "run", toy_recipe())
    before = run.result()
    run.result_file.unlink()
    with pytest.raises(DataError, match="has not finished"):
        run.result()
    again = go(tmp_path / "run", toy_recipe(), resume=True).result()
    assert {**again["student"], "seconds": 0} == {**before["student"], "seconds": 0}
