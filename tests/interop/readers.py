"""``make interop``: peers execute our files; prints the tables and writes ``export/SUPPORTED.md``.

    python -m interop.readers [--check]

``--check`` writes nothing and fails where the checked-in table says something else.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from pathlib import Path

import torch
from spikingjelly.activation_based import functional

from interop import environments, exchange, networks, supported
from snn_deploy.graph.passes.for_readers.consumers import CONSUMERS

SAMPLES = 256
SOFT = ("IF, soft reset", "LIF, soft reset")
DENSE = ("LIF", "CUBA", "LIF, soft reset", "CUBA, soft reset")
NOTE = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


def spike_table(root: Path) -> tuple[list[list[str]], list[str]]:
    """Differing of compared output spikes, network by reader; and what a reader refused."""
    x = networks.samples(SAMPLES)
    made = [networks.case(name, x) for name in networks.NETWORKS]
    made += [networks.case(name, x, bias=False) for name in SOFT]
    made += [networks.dense_case(name, x) for name in DENSE]
    expected = {}
    for case, net in made:
        functional.reset_net(net)
        with torch.no_grad():
            expected[case.name] = net(case.x)
    rows, reasons = {case.name: [case.name] for case, _ in made}, []
    for reader in CONSUMERS:
        say(f"{reader}: {len(made)} networks on {SAMPLES} samples of digits-dvs")
        for name, outcome in exchange.execute([case for case, _ in made], reader, root, say).items():
            rows[name].append(_cell(outcome, expected[name]))
            if outcome.output is None:
                reasons.append(f"{name} for {reader}: {outcome.reason}")
    return [["network", *CONSUMERS], *rows.values()], reasons


def _cell(outcome: exchange.Outcome, expected: torch.Tensor) -> str:
    if outcome.output is None:
        return outcome.state
    differing = int((outcome.output != expected).sum())
    text = f"{differing:,} of {expected.numel():,}"
    return text if outcome.state == "ran" else f"{text} (file)"


def table(rows: list[list[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])


def note(rows: list[list[str]], reasons: list[str], versions: dict[str, str]) -> str:
    """The result note of the spike table."""
    return "\n".join(
        [
            f"# Spikes of our NIR files in other readers, {datetime.date.today().isoformat()}",
            "",
            "`make interop`. Differing of compared output spikes: conv, pool, conv, flatten, two dense",
            "layers (`dense`: two dense layers alone) against the same network in SpikingJelly, on",
            f"{SAMPLES} test samples of digits-dvs, T = {networks.STEPS}.",
            "`refused`: our writer says why and writes nothing. `(file)`: the reader could not be",
            "installed; our simulator with its arithmetic ran the file.",
            "",
            "; ".join(versions.values()) + f"; torch {torch.__version__}; {os.cpu_count()} CPU cores.",
            "",
            table(rows),
            "",
            "Refused:",
            "",
            *(f"- {reason}" for reason in reasons),
            "",
        ]
    )


def say(line: str) -> None:
    """One line of progress."""
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    root = environments.ROOT / "work"
    found = supported.outcomes(supported.COLUMNS, root, say)
    marks, versions = supported.cells(found), supported.versions(root)
    rows, reasons = spike_table(root / "networks")
    print(table([["", *supported.COLUMNS], *([n, *row.values()] for n, row in marks.items())]), end="\n\n")
    print(table(rows))
    wrong = [f"{n} in {c}" for n, row in marks.items() for c, cell in row.items() if cell == "wrong"]
    wrong += [
        f"{row[0]} in {c}"
        for row in rows[1:]
        for c, cell in zip(rows[0][1:], row[1:], strict=True)
        if _is_wrong(cell)
    ]
    if wrong:
        say(f"Outputs differ: {'; '.join(wrong)}")
        return 1
    if check:
        stated = supported.read_table(supported.FILE.read_text())
        return int(stated != marks)
    supported.FILE.write_text(supported.markdown(found, versions))
    day = datetime.date.today().isoformat()
    (NOTE / f"{day}-nir-readers.md").write_text(note(rows, reasons, versions))
    say(f"written: {supported.FILE.name} and benchmarks/results/{day}-nir-readers.md")
    return 0


def _is_wrong(cell: str) -> bool:
    return cell == "failed" or (" of " in cell and not cell.startswith("0 "))


if __name__ == "__main__":
    environments.end(main)
