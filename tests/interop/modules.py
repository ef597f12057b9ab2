"""Modules of peers, read as they are in the peers' own environments, against what the modules give.

::

    python -m interop.modules        in tests/, from `make interop`

``sinabs/modules.py`` reads each network with 20 random weights and inputs and compares every layer.
Frameworks that are installed beside us are in tests/unit/graph/readers/test_*_modules.py.
Exit 1 when a spike differs.
"""

from __future__ import annotations

import json
from pathlib import Path

import nir

from interop import environments

LEAST = 4_800


def rows(peer: str) -> list[tuple[str, int, int, float]]:
    """Network, its outputs, how many differ, and the share of steps in which its busiest layer fires."""
    printed = environments.answer(peer, "modules.py", Path(nir.__file__).parent)
    return [tuple(row) for row in json.loads(printed)]


def main() -> int:
    """See the module's text."""
    wrong = 0
    for name, outputs, differing, busiest in rows("sinabs"):
        refused = name.startswith("refused")
        good = not differing and (refused or (outputs >= LEAST and 0.005 < busiest < 0.995))
        wrong += not good
        print(f"sinabs     {name:40} {differing} of {outputs}{'' if good else '   WRONG'}")
    return int(wrong > 0)


if __name__ == "__main__":
    environments.end(main)
