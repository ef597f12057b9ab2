"""Damaged documents of runs and bundles: named, never "a bug", and never another result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.damaged_documents import CASES, Outcome, attack, build

NAMED = {0, 2, 7}
"""Unharmed; a sound document that says something else than the command asks for; damaged."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNN_DEPLOY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield build(tmp_path_factory.mktemp("sound"))


def assert_nothing_else(outcome: Outcome, sound: Path) -> None:
    """The command said what is wrong, or nothing is: then the result is that of sound documents."""
    assert outcome.code in NAMED, outcome
    if outcome.code == 0 and outcome.command[0] == "distill":
        run = outcome.folder / outcome.command[3]
        for name in ("student.safetensors", "teacher.safetensors", "metrics.jsonl"):
            if f"{run.name}/{name}" != outcome.document:
                assert (run / name).read_bytes() == (sound / "done" / name).read_bytes(), outcome
    assert not list(outcome.folder.rglob(".*")), outcome


@pytest.mark.parametrize("document", CASES)
def test_a_damaged_document_is_named(document: str, sound: Path, tmp_path: Path) -> None:
    codes = Counter()
    for seed in range(6):
        outcome = attack(sound, tmp_path / "scratch", document, seed)
        assert_nothing_else(outcome, sound)
        codes[outcome.code] += 1
    assert codes[7], f"no damage to {document} was found: {codes}"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("document", CASES)
def test_many_damaged_documents_are_named(document: str, sound: Path, tmp_path: Path) -> None:
    """80 of each of 16 documents."""
    for seed in range(1000, 1080):
        assert_nothing_else(attack(sound, tmp_path / "scratch", document, seed), sound)
