"""The wheel alone: built, installed without extras in an empty environment, used; its bundle run elsewhere.

    python tests/wheel/check.py [-c CONSTRAINTS] [--python PYTHON] [--folder FOLDER]

Nothing of the checkout is in reach: commands run in a folder of their own, with a cache of their own and
without our environment variables. Then each format's section of the bundle's README is done by the letter, in
one clean environment per format that has only what those commands install. Prints a table; the exit status is
1 when a row failed, and the rows after it are not tried.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 1200
LAST_LINES = 30
EXTRAS = ("snntorch", "norse", "tonic", "lz4", "optuna", "lava", "pytest")
SHORT = ("-o", "train.epochs=3", "-o", "teacher.train.epochs=2")
COMES_ALONG = {"reference", "onnxruntime", "loihi"}
"""Runtimes of a default installation; the others may be missing, and say so."""
LIST = """
import importlib.metadata, importlib.util, json, sys
found = [name for name in sys.argv[1:] if importlib.util.find_spec(name)]
count = len({one.name for one in importlib.metadata.distributions()})
import snn_deploy
print(json.dumps({"extras": found, "packages": count, "from": snn_deploy.__file__}))
"""


class CheckError(Exception):
    """A step did not give what it should."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and a folder where commands run as if it were activated."""

    folder: Path
    home: Path

    @staticmethod
    def make(python: str, folder: Path) -> Environment:
        """A new one in ``folder``, with the interpreter ``python``."""
        home = folder / "work"
        home.mkdir(parents=True)
        run([python, "-m", "venv", str(folder / "venv")], home, dict(os.environ))
        return Environment(folder / "venv", home)

    def run(self, command: list[str]) -> str:
        """Standard output of ``command``."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SNN_DEPLOY", "VIRTUAL"))}
        bin_folder = self.folder / "bin"
        kept["PATH"] = f"{bin_folder}{os.pathsep}{kept['PATH']}"
        kept["SNN_DEPLOY_CACHE"] = str(self.home / "cache")
        return run([shutil.which(command[0], path=kept["PATH"]) or command[0], *command[1:]], self.home, kept)

    def install(self, *arguments: str) -> None:
        """What ``pip install`` does."""
        self.run(["python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments])

    def megabytes(self) -> float:
        """Disk that its files take, each once."""
        files = {path.stat().st_ino: path.stat() for path in self.folder.rglob("*") if path.is_file()}
        return sum(stat.st_blocks * 512 for stat in files.values()) / 1e6


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Standard output of ``command``.

    Raises:
        CheckError: with the last lines it wrote, when it fails.
    """
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-LAST_LINES:])
        raise CheckError(f"{' '.join(command)}\nended with {done.returncode}:\n{last}")
    return done.stdout


def require(holds: bool, what: str) -> None:
    """Raises :class:`CheckError` unless ``holds``."""
    if not holds:
        raise CheckError(what)


def build(folder: Path) -> Path:
    """The wheel of this checkout."""
    run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)], ROOT, dict(os.environ)
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(product: Environment, wheel: Path, constraints: Path | None) -> str:
    """The wheel and what it needs, nothing else: no extra, nothing of the checkout, no clash of versions."""
    product.install(*(["-c", str(constraints.resolve())] if constraints else []), str(wheel))
    product.run(["python", "-m", "pip", "check"])
    found = json.loads(product.run(["python", "-c", LIST, *EXTRAS]))
    require(not found["extras"], f"these came along: {found['extras']}")
    require(found["from"].startswith(str(product.folder)), f"snn_deploy is imported from {found['from']}")
    return f"{found['packages']} packages, {product.megabytes():.0f} MB"


def distil(product: Environment) -> str:
    """The quickstart, with fewer epochs."""
    command = ["snn-deploy", "distill", "quickstart", "--run-dir", "runs/quickstart", "--json", *SHORT]
    accuracy = json.loads(product.run(command))["student"]["test_accuracy"]
    require(accuracy > 0.5, f"the student has {accuracy:.1%}")
    return f"student {accuracy:.1%}"


def export(product: Environment) -> tuple[Path, str]:
    """Every format there is; what comes along judged it, what is missing says that it did not run."""
    formats = [
        row["name"] for row in json.loads(product.run(["snn-deploy", "ls", "formats", "--json"]))["formats"]
    ]
    product.run(["snn-deploy", "export", "runs/quickstart", "--to", ",".join(formats)])
    bundle = product.home / "runs" / "quickstart" / "bundle"
    manifest = json.loads((bundle / "manifest.json").read_text())
    require(set(manifest["formats"]) == set(formats), f"written: {', '.join(manifest['formats'])}")
    verdicts = {f"{p['format']} in {p['runtime']}": (p["runtime"], p["verdict"]) for p in manifest["parity"]}
    table = ", ".join(f"{name}: {verdict}" for name, (_, verdict) in verdicts.items())
    require(manifest["verdict"] != "failed" and all(v != "failed" for _, v in verdicts.values()), table)
    idle = {runtime for runtime, verdict in verdicts.values() if verdict == "not run"}
    require(not idle & COMES_ALONG, table)
    return bundle, f"{', '.join(formats)}; not run: {', '.join(sorted(idle)) or 'none'}"


def kits(bundle: Path) -> dict[str, list[str]]:
    """Commands of each format that the bundle's README gives."""
    readme = (bundle / "README.md").read_text()
    found = {}
    for section in re.split(r"^## ", readme, flags=re.MULTILINE)[1:]:
        name, _, text = section.partition("\n")
        if commands := re.search(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            found[name] = commands[1].splitlines()
    return found


def use_kit(place: Environment, bundle: Path, commands: list[str]) -> str:
    """The commands, in a copy of the bundle without its report."""
    shutil.copytree(bundle, place.home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("report"))
    for command in commands:
        said = place.run(["sh", "-c", command])
    passed = [line for line in said.splitlines() if line.startswith("PASS")]
    require(bool(passed), f"{commands[-1]} said: {said}")
    return "; ".join(passed)


def steps(folder: Path, python: str, constraints: Path | None) -> Iterator[tuple[str, Callable[[], str]]]:
    """Name and action of each row."""
    made: dict[str, Path] = {}
    product = Environment.make(python, folder / "product")

    def built() -> str:
        made["wheel"] = build(folder / "dist")
        return f"{made['wheel'].name}, {made['wheel'].stat().st_size / 1e6:.2f} MB"

    def exported() -> str:
        made["bundle"], table = export(product)
        return table

    yield "build the wheel", built
    yield "install it, no extras", lambda: install(product, made["wheel"], constraints)
    yield "distil the quickstart", lambda: distil(product)
    yield "export every format", exported
    found = kits(made["bundle"])
    yield "commands in its README", lambda: _told(made["bundle"], found)
    for name, commands in found.items():
        place = Environment.make(python, folder / f"kit-{name}")
        yield f"kit {name}", lambda place=place, commands=commands: use_kit(place, made["bundle"], commands)


def _told(bundle: Path, found: dict[str, list[str]]) -> str:
    untold = set(json.loads((bundle / "manifest.json").read_text())["formats"]) - found.keys()
    require(not untold, f"nothing is said of {', '.join(sorted(untold))}")
    return ", ".join(found)


def main() -> int:
    """Do all rows; see the module's text."""
    options = argparse.ArgumentParser(description="Check the wheel alone.")
    options.add_argument("-c", "--constraint", type=Path, help="versions for pip")
    options.add_argument("--python", default=sys.executable, help="interpreter of all environments")
    options.add_argument("--folder", type=Path, help="keep everything here (an empty folder)")
    given = options.parse_args()
    folder = given.folder.resolve() if given.folder else Path(tempfile.mkdtemp(prefix="snn-deploy-wheel-"))
    started = time.perf_counter()
    try:
        for name, action in steps(folder, given.python, given.constraint):
            since = time.perf_counter()
            print(f"{name:<24}", end="", flush=True)
            print(f"{'ok':<8}{action():<72} {time.perf_counter() - since:4.0f} s", flush=True)
    except CheckError as error:
        print(f"FAILED\n{error}")
        return 1
    finally:
        if not given.folder:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{'the wheel alone':<24}{'ok':<80} {time.perf_counter() - started:4.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
