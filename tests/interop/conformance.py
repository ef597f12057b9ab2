"""``make interop`` puts the golden set to every reader in its environment: ``export/CONFORMANCE.md``.

    python -m interop.conformance

Readers that are wrong are no failure of ours: the page says how. Our own column must be right throughout.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from interop import environments
from snn_deploy.conformance.known import READERS
from snn_deploy.conformance.matrix import conform
from snn_deploy.conformance.page import page

FILE = Path(__file__).resolve().parents[2] / "export" / "CONFORMANCE.md"
PEERS = {
    "sinabs": "sinabs",
    "sinabs-set": "sinabs",
    "rockpool": "rockpool",
    "spyx": "spyx",
    "snn-mlir": "snn_mlir",
}
"""Readers that are not installed beside us, and whose environment has them."""


def main() -> int:
    """See the module's text."""
    columns = []
    for name, reader in READERS.items():
        python = environments.environment(PEERS[name]) if name in PEERS else None
        columns.append(conform(reader, python, report=print))
        print(f"  {columns[-1].count('right')} right, {columns[-1].count('wrong')} wrong")
    FILE.write_text(page(columns, datetime.date.today().isoformat()))
    return int(columns[0].count("right") < len(columns[0].verdicts))


if __name__ == "__main__":
    environments.end(main)
