"""What may be replaced by an export, and what makes a bundle no longer what was proven."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.fuzzing import network

from snn_deploy import api
from snn_deploy.cli.main import exit_code
from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.core.owners import this_process
from snn_deploy.export import bundle as writing
from snn_deploy.graph.readers.io import write_nir

PROFILE = ("--profile", "horowitz-45nm-fp32")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network, samples, and its bundle."""
    folder = tmp_path_factory.mktemp("made")
    write_nir(network(), folder / "net.nir")
    rng = np.random.default_rng(0)
    np.savez(folder / "x.npz", x=rng.integers(-4, 5, (3, 8, 2, 4, 4)).astype(np.float32))
    export(folder, folder / "bundle")
    return folder


def export(made: Path, out: Path, **options: object) -> api.Bundle:
    return api.export_bundle(
        made / "net.nir",
        out,
        formats=("nir", "onnx"),
        data=str(made / "x.npz"),
        profiles=["horowitz-45nm-fp32"],
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "bundle", tmp_path / "bundle"))


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def test_every_file_is_listed_reports_too(made: Path) -> None:
    manifest = json.loads((made / "bundle" / "manifest.json").read_text())
    assert {*manifest["sha256"]} == {
        name for name, content in tree(made / "bundle").items() if content is not None
    } - {"manifest.json"}
    assert "report/report.html" in manifest["sha256"]


def test_an_unchanged_bundle_is_replaced(made: Path, bundle: Path) -> None:
    (bundle / "parity.csv").unlink()  # what is missing cannot be lost
    export(made, bundle)
    assert api.open_bundle(bundle).path == bundle
    assert [entry.name for entry in bundle.parent.iterdir()] == ["bundle"]


ADDED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a file": ("thesis.tex", lambda b: (b / "thesis.tex").write_text("years of work")),
    "a file in a folder": ("report/notes.md", lambda b: (b / "report" / "notes.md").write_text("mine")),
    "a hidden file": (".notes", lambda b: (b / ".notes").write_text("mine")),
    "an empty folder": ("figures", lambda b: (b / "figures").mkdir()),
    "a link": ("data", lambda b: (b / "data").symlink_to("/usr")),
    "a changed file": ("README.md", lambda b: (b / "README.md").write_text("my own words")),
    "a changed report": ("report/report.json", lambda b: (b / "report" / "report.json").write_text("{}")),
}


@pytest.mark.parametrize("what", ADDED)
def test_whatever_else_lies_there_is_named_and_not_touched(made: Path, bundle: Path, what: str) -> None:
    name, add = ADDED[what]
    add(bundle)
    before = tree(bundle)
    with pytest.raises(ConfigError, match="nothing was touched") as caught:
        export(made, bundle)
    assert [problem.where for problem in caught.value.problems] == [name]
    assert tree(bundle) == before
    assert [entry.name for entry in bundle.parent.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    "manifest", ["{}", "[]", "", '{"version": 1}', '{"name": "app", "version": "3", "icons": []}']
)
def test_a_folder_with_a_manifest_of_something_else_is_not_ours(
    made: Path, tmp_path: Path, manifest: str
) -> None:
    folder = tmp_path / "extension"
    folder.mkdir()
    (folder / "manifest.json").write_text(manifest)
    (folder / "work.py").write_text("mine")
    before = tree(folder)
    with pytest.raises(ConfigError, match="it is not overwritten"):
        export(made, folder)
    assert tree(folder) == before


def test_files_and_the_folder_one_is_in_are_not_replaced(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is not a folder"):
        export(made, tmp_path / "file")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ConfigError, match="the folder you are in"):
        export(made, Path())


def test_a_link_to_a_folder_is_followed(made: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "bundle")
    for _ in range(2):
        export(made, tmp_path / "out")
        assert (tmp_path / "out").is_symlink()
        assert api.open_bundle(tmp_path / "disk" / "bundle").verified
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["disk", "out"]


def test_what_is_added_while_an_export_runs_is_not_lost(made: Path, bundle: Path) -> None:
    def add(line: str) -> None:
        if line == "counting and pricing":
            (bundle / "late.txt").write_text("mine")

    with pytest.raises(ConfigError, match="nothing was touched") as caught:
        export(made, bundle, report=add)
    assert [problem.where for problem in caught.value.problems] == ["late.txt"]
    assert (bundle / "late.txt").read_text() == "mine"
    assert [entry.name for entry in bundle.parent.iterdir()] == ["bundle"]


def test_a_file_that_is_replaced_after_its_proof_is_refused(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_kits = writing._copy_kits

    def tamper(folder: Path, formats: tuple[str, ...]) -> None:
        with h5py.File(folder / "model.nir", "r+") as file:
            file["more"] = 1
        copy_kits(folder, formats)

    monkeypatch.setattr(writing, "_copy_kits", tamper)
    with pytest.raises(DataError, match="changed while they were proven") as caught:
        export(made, tmp_path / "bundle")
    assert [problem.where for problem in caught.value.problems] == ["model.nir"]
    assert list(tmp_path.iterdir()) == []


def edit(file: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


FORGED: dict[str, tuple[str, Callable[[dict], object]]] = {
    "a hash removed": ("model.nir: is a file of the bundle", lambda m: m["sha256"].pop("model.nir")),
    "no hashes": ("sha256: ", lambda m: m.update(sha256={})),
    "hashes removed": ("sha256: Field required", lambda m: m.pop("sha256")),
    "a verdict": ("its checks give 'failed'", lambda m: m["parity"][0].update(verdict="failed")),
    "figures": ("parity.0.compared: is 1", lambda m: m["parity"][0].update(compared=1)),
    "an accuracy": ("is the fraction of samples", lambda m: m["parity"][0].update(accuracy=1.5)),
    "a count": ("a count is not negative", lambda m: m["parity"][0].update(samples=-3)),
    "a path outside": ("not the path of a file", lambda m: m["sha256"].update({"../x": "0" * 64})),
    "a later version": ("is version 9; this reads 1", lambda m: m.update(version=9)),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_an_edited_manifest_is_refused(bundle: Path, what: str) -> None:
    says, change = FORGED[what]
    edit(bundle / "manifest.json", change)
    with pytest.raises(DataError) as caught:
        api.open_bundle(bundle)
    assert says in str(caught.value)


def test_files_that_are_not_those_that_were_proven_are_refused(bundle: Path, tmp_path: Path) -> None:
    elsewhere = shutil.move(bundle / "model.nir", tmp_path / "model.nir")
    (bundle / "model.nir").symlink_to(elsewhere)
    (bundle / "report" / "report.json").write_text("{}")
    (bundle / "parity.csv").unlink()
    with pytest.raises(DataError, match="is damaged") as caught:
        api.open_bundle(bundle)
    assert {(problem.where, problem.what) for problem in caught.value.problems} == {
        ("model.nir", "is a link"),
        ("report/report.json", "has changed since it was verified"),
        ("parity.csv", "is missing"),
    }


def test_a_file_beside_those_of_the_bundle_is_named(
    bundle: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / "evil.py").write_text("x")
    assert api.open_bundle(bundle).verified
    arguments = ["export", str(bundle), "--to", "nir", "--data", str(made / "x.npz"), *PROFILE]
    assert exit_code([*arguments, "--out", str(bundle.parent / "again")]) == 0
    assert "not part of the bundle: evil.py" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("again", ["check", "export"])
def test_a_bundle_that_a_killed_export_left_aside_is_back(made: Path, bundle: Path, again: str) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    owner = replace(this_process(), pid=child)
    os.waitpid(child, 0)
    before = tree(bundle)
    bundle.rename(bundle.parent / f".bundle.{owner.tag}.abcdefgh.old")
    shutil.copytree(made / "bundle", bundle.parent / f".bundle.{owner.tag}.abcdefgh")
    if again == "check":
        assert exit_code(["check", str(bundle), "--target", "onnx"]) == 0
        assert tree(bundle) == before
    else:
        export(made, bundle)
        assert api.open_bundle(bundle).verified
    assert [entry.name for entry in bundle.parent.iterdir()] == ["bundle"]


def test_two_exports_to_one_folder(made: Path, tmp_path: Path) -> None:
    """The second is refused by the name of the first, and the first is not disturbed."""
    refused = []

    def again(line: str) -> None:
        if line == "counting and pricing":
            with pytest.raises(ConfigError, match="is in use by process") as caught:
                export(made, tmp_path / "bundle")
            refused.append(caught.value)

    assert export(made, tmp_path / "bundle", report=again).verified
    assert len(refused) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]


def test_a_report_is_written_beside_a_bundle(bundle: Path, made: Path) -> None:
    report = ["report", str(bundle), "--data", str(made / "x.npz"), *PROFILE]
    assert exit_code([*report, "--out", str(bundle / "report")]) == 2
    assert exit_code(report) == 0
    assert (bundle.parent / "bundle-report" / "report.html").is_file()
    assert api.open_bundle(bundle).verified
