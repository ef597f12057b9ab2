"""What Lava compares within its budget of time: seconds, samples or layers, verdict; and those of writing.

    python benchmarks/lava_budget.py [NAME ...] [--samples N] [--seconds S]

Students are those of ``export_size.py``, with hard resets, quantised after the fact: not trained. Needs the
Lava environment (``snn-deploy doctor``).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from export_size import untrained

NETWORKS = {
    "quickstart": (),
    "resnet18": (),
    "dvs-csnn": (),
    "vgg9": ("student.neuron.v_reset=0",),
}
"""Name: what its recipe is told to be."""


def run(name: str, samples: int, seconds: float) -> str:
    """One row of the table."""
    from snn_deploy.export.lava import LavaWriter
    from snn_deploy.export.lava_part import lava_part
    from snn_deploy.export.options import LavaOptions
    from snn_deploy.export.parity import Parity
    from snn_deploy.export.proof.files import backend
    from snn_deploy.export.verify import verify

    network = untrained(name, samples, NETWORKS[name])
    began = time.monotonic()

    def report(line: str) -> None:
        print(f"  {time.monotonic() - began:6.1f} s  {line}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        cpu = time.process_time()
        written = LavaWriter(LavaOptions()).write(network.plan.graph, Path(folder), network.calibration)
        cpu = time.process_time() - cpu
        file = Path(folder) / written.files["net"]
        began = time.monotonic()
        part = lava_part(file, network.samples, seconds, report)
        took = time.monotonic() - began
        blank = Parity("lava", "lava", "loihi", exact=True, samples=0)
        found = verify(
            blank, backend("loihi", file), part.opened, part.samples, plan=None, max_accuracy_drop=0.02
        )
    shown = part.shown or f"{len(part.samples)} of {samples} samples"
    return (
        f"| {name} | {cpu:.1f} | {took:.0f} | {shown} | {found.compared:,} | {found.differing} | "
        f"{found.verdict} |"
    )


def main() -> None:
    """A table of all, each with Lava's progress before it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(NETWORKS))
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120.0)
    options = parser.parse_args()
    rows = [run(name, options.samples, options.seconds) for name in options.names]
    print("| network | writing, CPU seconds | Lava part, seconds | shown | compared | differing | verdict |")
    print("| --- | ---: | ---: | --- | ---: | ---: | --- |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
