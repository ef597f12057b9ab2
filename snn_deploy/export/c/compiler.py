"""The C compiler of this machine, and what it makes of a model."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import weakref
from pathlib import Path

from snn_deploy.core.errors import MissingOptionalError, ParityError

FLAGS = ("-std=c99", "-pedantic", "-O2", "-Wall", "-Wextra", "-Werror")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
COMPILE_SECONDS = 600
RUN_SECONDS = 600
TEMPORARY = "snn-deploy-c-"
"""How temporary folders of programs begin."""


class CError(ParityError):
    """A model's C code does not compile, or does not run to its end (exit 4)."""


def compiler() -> list[str]:
    """The command of the C compiler: ``$CC``, else the first of cc, gcc and clang.

    Raises:
        MissingOptionalError: there is none.
    """
    named = shlex.split(os.environ.get("CC", ""))
    for command in [named] if named else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]):
            return command
    raise MissingOptionalError(
        f"There is no C compiler '{named[0]}'." if named else "There is no C compiler.",
        hint="Install one (Debian: apt-get install gcc), or name it in $CC.",
    )


def finished(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """``command`` run to its end without input, with what it said.

    Raises:
        subprocess.TimeoutExpired: it took longer than ``seconds``, and was killed.
    """
    return subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
    )


def build(sources: list[Path], include: Path, program: Path, extra: tuple[str, ...] = ()) -> None:
    """Compile ``sources`` with all warnings as errors.

    Raises:
        MissingOptionalError: there is no compiler, or it took too long.
        CError: the compiler refuses the code; the message ends with its first lines.
    """
    command = [*compiler(), *FLAGS, *extra, f"-I{include}", *map(str, sources), "-o", str(program)]
    try:
        done = finished(command, COMPILE_SECONDS)
    except subprocess.TimeoutExpired:
        raise MissingOptionalError(f"The C compiler took more than {COMPILE_SECONDS} s.") from None
    if done.returncode:
        said = "\n".join(f"  | {line}" for line in done.stderr.splitlines()[:12])
        raise CError(f"The C code does not compile ({' '.join(command[:1])}):\n{said}")


def build_for(owner: object, sources: list[Path], include: Path, extra: tuple[str, ...] = ()) -> Path:
    """Compile ``sources`` into a program that is removed with its ``owner``. Raises as :func:`build`."""
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    program = folder / "program"
    build(sources, include, program, extra)
    return program


def run_to_its_end(program: Path, *arguments: str) -> None:
    """Run ``program``, whose answer lies in files.

    Raises:
        CError: it fails, or takes longer than :data:`RUN_SECONDS`.
    """
    try:
        done = finished([str(program), *arguments], RUN_SECONDS)
    except subprocess.TimeoutExpired:
        raise CError(f"The C program did not finish within {RUN_SECONDS} s.") from None
    if done.returncode:
        said = "\n".join(f"  | {line}" for line in done.stderr.splitlines()[:20])
        raise CError(f"The C program failed (exit status {done.returncode}).\n{said}")
