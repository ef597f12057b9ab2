"""Build a bundle's ``model.c`` for Cortex-M boards and run its example under QEMU.

    python tests/embedded/boards.py BUNDLE [BUNDLE ...]

Needs Debian's gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm. Prints a table: differing
outputs, flash of the network (code and tables of model.o), RAM of one instance, instructions a step.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_ROW = "{:24} {:11} {:>12} {:>9} {:>9} {:>11} {:>11}"
HERE = Path(__file__).resolve().parent
TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm")
PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
INSTRUCTIONS_PER_SECOND = 1_000_000_000
"""Of the emulated processor under ``-icount shift=0``."""


@dataclass(frozen=True)
class Board:
    """An MPS2 board of QEMU: processor, where ROM and RAM begin, and the clock that SysTick counts."""

    name: str
    processor: str
    rom: int
    ram: int
    clock: int


BOARDS = (
    Board("mps2-an386", "cortex-m4", 0x0, 0x20000000, 25_000_000),
    Board("mps2-an505", "cortex-m33", 0x10000000, 0x38000000, 20_000_000),
)


@dataclass(frozen=True)
class Result:
    """What one board did with one network."""

    board: Board
    differing: int
    outputs: int
    flash: int
    ram: int
    mean: int
    worst: int


def missing_tools() -> list[str]:
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def run(bundle: Path, board: Board) -> Result:
    """Compile, emulate, and read what the board printed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compiler = ["arm-none-eabi-gcc", f"-mcpu={board.processor}", "-mthumb", "-std=c99", "-O2"]
        compiler += ["-Wall", "-Wextra", "-Werror", f"-I{bundle}"]
        _call([*compiler, "-c", str(bundle / "model.c"), "-o", str(folder / "model.o")])
        link = [
            f"-DINSTRUCTIONS_PER_TICK={INSTRUCTIONS_PER_SECOND // board.clock}u",
            *(str(part) for part in (HERE / "board.c", folder / "model.o")),
            "--specs=rdimon.specs",
            *("-T", str(HERE / "board.ld"), "-Wl,--no-warn-rwx-segments"),
            f"-Wl,--defsym=ROM_START={board.rom:#x},--defsym=RAM_START={board.ram:#x}",
        ]
        _call([*compiler, *link, "-o", str(folder / "board.elf")])
        size = _call(["arm-none-eabi-size", str(folder / "model.o")]).splitlines()[1].split()
        said = _call(
            [
                "qemu-system-arm", "-M", board.name, "-nographic", "-monitor", "none", "-serial", "none",
                "-icount", "shift=0", "-semihosting-config", "enable=on,target=native",
                "-kernel", str(folder / "board.elf"),
            ],
            cwd=bundle,
        )  # fmt: skip
    told = json.loads(said)
    flash = int(size[0]) + int(size[1])
    return Result(
        board, told["differing"], told["outputs"], flash, told["state_bytes"], told["mean"], told["worst"]
    )


def _call(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd, check=False)
    if done.returncode not in {0, 1} or (done.returncode and command[0] != "qemu-system-arm"):
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def main(bundles: list[str]) -> int:
    if missing := missing_tools():
        print(f"needs {', '.join(missing)}: apt-get install {PACKAGES}")
        return 6
    print(_ROW.format("bundle", "processor", "differ", "flash", "RAM", "instr/step", "worst"))
    failed = 0
    for bundle in bundles:
        for board in BOARDS:
            r = run(Path(bundle), board)
            failed += r.differing > 0
            name, differ = Path(bundle).resolve().name[:24], f"{r.differing}/{r.outputs}"
            counts = (f"{n:,}" for n in (r.flash, r.ram, r.mean, r.worst))
            print(_ROW.format(name, board.processor, differ, *counts))
    return 4 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
