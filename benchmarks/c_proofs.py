"""The C code of bundles as a person without this project gets it: proof, kit, memory checks, flash, RAM.

    python benchmarks/c_proofs.py BUNDLE ... [--samples 4] [--data NAME] [-o data.KEY=VALUE ...] [--out FILE]

The counts of spikes are those of each bundle's own proof. The kit is copied into an empty folder and run by
its shell script in an environment with nothing but PATH=/usr/bin:/bin. Then the code is compiled with the
sanitizers of addresses and of undefined behaviour and run on real samples: every spike and output must be
that of the code without them. Flash is code and tables of the object file, compiled with -O2 for a Cortex-M4
where its compiler is installed, else for this machine; RAM is one instance. Times are the least of the runs.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bench import Table, conditions

from snn_deploy.export.c.compiler import SANITIZERS, compiler
from snn_deploy.export.c.runtime import CProgram
from snn_deploy.export.c_float.runtime import FloatCProgram
from snn_deploy.tasks.open import open_source
from snn_deploy.tasks.samples import load_samples

KIT_RUNS = 3
ARM = ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb")
COLUMNS = (
    "bundle", "form", "T", "samples", "spikes", "differ", "ties", "kit", "us a step", "sanitizers",
    "flash, KiB", "RAM, KiB",
)  # fmt: skip


@dataclass(frozen=True)
class Form:
    """A form of C: the program of its file in the bundle, and what its kit needs."""

    program: Any
    file: str
    script: str
    kit: tuple[str, ...]

    @property
    def source(self) -> str:
        """The network's own code."""
        return next(name for name in self.kit if name.startswith("model") and name.endswith(".c"))

    @property
    def header(self) -> str:
        """What says its sizes."""
        return f"{self.source[:-1]}h"


FORMS = {
    "c": Form(CProgram, "model.net", "run_c.sh", ("main.c", "model.c", "model.h", "example.bin")),
    "c-float": Form(
        FloatCProgram,
        "model_float.nir",
        "run_c_float.sh",
        ("main_float.c", "model_float.c", "model_float.h", "example_float.bin"),
    ),
}


def kit(bundle: Path, form: Form) -> tuple[str, float]:
    """What the kit says in a folder of its own, and the least microseconds of a step."""
    with tempfile.TemporaryDirectory() as name:
        for file in (form.script, "early_exit.h", "manifest.json", *form.kit):
            shutil.copy(bundle / file, name)
        said = [
            subprocess.run(
                ["env", "-i", "PATH=/usr/bin:/bin", "sh", form.script],
                cwd=name,
                capture_output=True,
                text=True,
                timeout=600,
                check=True,
            ).stdout
            for _ in range(KIT_RUNS)
        ]
    verdict, differing, total = re.findall(r"(PASS|FAIL).*?: (\d+) of (\d+)", said[0])[0]
    times = [float(re.findall(r"([\d.]+) us a step", text)[0]) for text in said]
    return f"{verdict}, {int(differing):,} of {int(total):,}", min(times)


def sanitized(bundle: Path, form: Form, x: torch.Tensor) -> str:
    """Values that differ between the code with and without sanitizers, of how many on how many samples."""
    plain, checked = (
        form.program(bundle / form.file, extra=extra).run(x, record=True) for extra in ((), SANITIZERS)
    )
    pairs = [(plain.output, checked.output)]
    pairs += [(spikes, checked.records[name]) for name, spikes in plain.records.items()]
    differing = sum(int((a != b).sum()) for a, b in pairs)
    return f"{differing:,} of {sum(a.numel() for a, _ in pairs):,}, N = {x.shape[1]}"


def flash(bundle: Path, form: Form) -> int:
    """Bytes of code and tables."""
    arm = shutil.which(ARM[0]) is not None
    made, size = (ARM, "arm-none-eabi-size") if arm else (compiler(), "size")
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "model.o"
        command = [
            *made,
            "-std=c99",
            "-O2",
            f"-I{bundle}",
            "-c",
            str(bundle / form.source),
            "-o",
            str(target),
        ]
        subprocess.run(command, check=True, timeout=600)
        said = subprocess.run([size, str(target)], capture_output=True, text=True, check=True).stdout
    text, data = said.splitlines()[1].split()[:2]
    return int(text) + int(data)


def ram(bundle: Path, form: Form) -> int:
    """Bytes of one instance, as its header says."""
    found = re.search(r"([\d,]+) bytes of RAM", (bundle / form.header).read_text())
    assert found is not None
    return int(found[1].replace(",", ""))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--samples", type=int, default=4, help="for the sanitizers")
    parser.add_argument("--data", help="by default what each bundle was proven on")
    parser.add_argument("-o", dest="options", action="append", default=[], metavar="data.KEY=VALUE")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("C code of exported networks", conditions("torch", threads=1), *COLUMNS)
    for bundle in chosen.bundles:
        manifest = json.loads((bundle / "manifest.json").read_text())
        loaded = load_samples(open_source(bundle), chosen.data, chosen.samples, chosen.options)
        for name in manifest["formats"].keys() & FORMS.keys():
            form = FORMS[name]
            (proof,) = (p for p in manifest["parity"] if p["runtime"] == name and p["exact"])
            said, microseconds = kit(bundle, form)
            table.add(
                bundle.name,
                name,
                str(manifest["timesteps"]),
                str(proof["samples"]),
                *(f"{proof[key]:,}" for key in ("compared", "differing", "ties")),
                said,
                f"{microseconds:,.1f}",
                sanitized(bundle, form, loaded.test.x),
                *(f"{measured(bundle, form) / 1024:,.1f}" for measured in (flash, ram)),
            )
    table.keep(chosen.out)


if __name__ == "__main__":
    main()
