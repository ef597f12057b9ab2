"""Installing and finding the Lava environment, without the network."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from snn_deploy.core.errors import ConfigError, MissingOptionalError
from snn_deploy.core.files import write_json
from snn_deploy.simulate.lava import install as lava_install
from snn_deploy.simulate.lava.environment import (
    ENVIRONMENT_VARIABLE,
    FOLDER,
    PUBLISHED_NETS,
    RECIPE,
    STAMP,
    default_location,
    lava_environment,
    python_of,
    require_lava,
)
from snn_deploy.simulate.lava.install import SHIMS, install


def _ready(folder: Path, recipe: int = RECIPE) -> Path:
    python = python_of(folder)
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    write_json(folder / STAMP, {"recipe": recipe})
    return python


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No environment anywhere: prefix, working directory and cache are empty folders."""
    for name in ("prefix", "work", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix" / ".venv"))
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("SNN_DEPLOY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    return tmp_path


def test_environment_is_found_beside_the_prefix_then_here_then_in_the_cache(nowhere: Path) -> None:
    assert lava_environment() is None
    cached = _ready(nowhere / "cache" / FOLDER)
    assert lava_environment() == cached
    here = _ready(nowhere / "work" / FOLDER)
    assert lava_environment() == here
    beside = _ready(nowhere / "prefix" / FOLDER)
    assert lava_environment() == beside


def test_variable_wins_and_a_wrong_one_is_named(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _ready(nowhere / "work" / FOLDER)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, sys.executable)
    assert require_lava() == Path(sys.executable)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "/no/such/python")
    assert lava_environment() is None
    with pytest.raises(MissingOptionalError, match="'/no/such/python', which is no file"):
        require_lava()


def test_an_unfinished_or_older_environment_does_not_count(nowhere: Path) -> None:
    python = _ready(nowhere / "work" / FOLDER, recipe=RECIPE - 1)
    assert lava_environment() is None
    (nowhere / "work" / FOLDER / STAMP).write_text("{ half")
    assert lava_environment() is None
    with pytest.raises(MissingOptionalError, match="not installed"):
        require_lava()
    assert python.is_file()


def test_default_location_is_beside_the_virtual_environment(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert default_location() == nowhere / "prefix" / FOLDER
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    assert default_location() == nowhere / "cache" / FOLDER


def test_a_finished_environment_is_left_alone(tmp_path: Path) -> None:
    python = _ready(tmp_path / "env")
    lines: list[str] = []
    assert install(tmp_path / "env", lines.append) == python
    assert lines == [f"already installed in {tmp_path / 'env'}"]


def test_another_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="is not a virtual environment"):
        install(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_steps_complete_a_half_made_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's last words are shown when it fails. Then, without packages: the hook lands where every process of
    the environment loads it, lava-dl's networks are kept, other stray top-level tests are gone, the self-test
    decides, the stamp comes last."""
    folder = tmp_path / "env"
    installer = tmp_path / "install_lava.py"
    pip = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-m', 'pip', 'install', *{}]))"
    installer.write_text(pip.format(["--no-index", "no-such-package==1.0"]))
    monkeypatch.setattr(lava_install, "INSTALLER", installer)
    message = r"install Lava's packages(.|\n)*no-such-package(.|\n)*--backend loihi"
    with pytest.raises(MissingOptionalError, match=message):
        install(folder)
    assert not (folder / STAMP).exists()
    installer.write_text("")
    monkeypatch.setattr(lava_install, "self_test", lambda python: _fail())
    with pytest.raises(MissingOptionalError, match="differ"):
        install(folder)
    assert not (folder / STAMP).exists()
    packages = next(folder.glob("lib/python3*/site-packages"))
    nets = packages / lava_install.PUBLISHED
    nets.mkdir(parents=True)
    (nets / "tiny.net").write_text("published")
    made = python_of(folder).stat().st_mtime_ns
    tested: list[Path] = []
    monkeypatch.setattr(lava_install, "self_test", tested.append)
    python = install(folder)
    assert tested == [python]
    assert python.stat().st_mtime_ns == made, "a working environment was made again"
    assert not (packages / "tests").exists()
    assert (folder / PUBLISHED_NETS / "tiny.net").read_text() == "published"
    assert (folder / STAMP).is_file()
    command = [str(python), "-c", "import sys; print([type(f).__module__ for f in sys.meta_path][0])"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "snn_deploy_lava_shims"
    assert (packages / "snn_deploy_lava_shims.py").read_text() == SHIMS.read_text()


def _fail() -> None:
    raise MissingOptionalError("Lava was installed, but its spikes differ from our simulator's.")


def test_self_test_sees_every_layer_fire() -> None:
    from snn_deploy.simulate.loihi import Loihi

    net, x = lava_install.example()
    rates = [float(spikes.mean()) for spikes in Loihi(net).run(x, record=True).records.values()]
    assert len(rates) == 3
    assert all(0.05 < rate < 0.95 for rate in rates), rates


@pytest.mark.lava
@pytest.mark.skipif(lava_environment() is None, reason="needs the Lava environment")
def test_self_test_notices_a_wrong_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    from snn_deploy.simulate import cuba

    monkeypatch.setattr(cuba, "UNIT", 32)
    with pytest.raises(MissingOptionalError, match="spikes differ"):
        lava_install.self_test(require_lava())


@pytest.mark.parametrize(("fails", "calls", "status"), [(None, 2, 0), (0, 1, 3), (1, 2, 3)])
def test_the_installer_of_the_kit_stops_at_the_step_that_fails(
    fails: int | None, calls: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = runpy.run_path(str(lava_install.INSTALLER))["main"]
    asked: list[list[str]] = []

    def call(command: list[str]) -> int:
        asked.append(command)
        return 3 if len(asked) - 1 == fails else 0

    monkeypatch.setattr(subprocess, "call", call)
    assert main() == status
    assert len(asked) == calls
    assert all(command[:4] == [sys.executable, "-m", "pip", "install"] for command in asked)
    assert ("lava-dl==0.6.0" in asked[-1]) == (calls == 2)
