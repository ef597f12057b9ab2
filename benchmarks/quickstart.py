"""The table of the README: ``make demo``, then ``python benchmarks/quickstart.py``.

Reads the run, the manifest and the report that the demo wrote; measures nothing itself.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

from snn_deploy.api import open_bundle
from snn_deploy.core.text import runtime_name
from snn_deploy.recipes.run_folder import Run
from snn_deploy.report.format import percent, si, span
from snn_deploy.report.read import read_report


def rows(run: Run) -> list[tuple[str, str]]:
    """Pairs of what and how much."""
    result = run.result()
    bundle = open_bundle(run.path / "bundle")
    report = read_report(bundle.path / "report" / "report.json")
    tested = result["data"]["samples"]["test"]
    found = []
    for role in ("teacher", "student"):
        figures = result[role]
        correct = f"{figures['test_correct']} of {tested}"
        found.append((f"{role}, test accuracy", f"{percent(figures['test_accuracy'])} ({correct})"))
    for parity in bundle.manifest["parity"]:
        flips = sum(layer["differing"] for layer in parity["layers"])
        differing = parity["differing"] if parity["exact"] else flips
        place, against = (runtime_name(parity[key]) for key in ("runtime", "reference"))
        name = f"{parity['format']} in {place} against {against}"
        spikes = f"{differing:,} of {parity['compared']:,} spikes differ, {parity['ties']} ties"
        found.append(
            (name, f"{spikes}; accuracy {percent(parity['accuracy'])} on {parity['samples']} samples")
        )
    assert report.activity is not None
    found.append(("synaptic operations per inference", si(report.activity.sops)))
    for price in report.energy:
        bound = "at least " if price.unknown and price.dynamic else ""
        energy = span(price.dynamic, "J") if price.dynamic else "unknown"
        found.append((f"dynamic energy, {price.profile}", bound + energy))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/quickstart"))
    run = Run.open(parser.parse_args().run)
    bundle = open_bundle(run.path / "bundle")
    report = read_report(bundle.path / "report" / "report.json")
    packages = {name: report.header.packages[name] for name in ("torch", "spikingjelly", "onnxruntime")}
    print(f"Date {report.header.created[:10]}, data digits-dvs (embedded), {os.cpu_count()} cores "
          f"{platform.machine()}, {', '.join(f'{n} {v}' for n, v in packages.items())}.\n")  # fmt: skip
    print("| | |\n| --- | --- |")
    for what, value in rows(run):
        print(f"| {what} | {value} |")


if __name__ == "__main__":
    main()
