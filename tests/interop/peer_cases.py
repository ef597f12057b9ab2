"""What the scripts in the peers' own environments share: standard library and NumPy only."""

import json
import sys
import traceback
from importlib.metadata import version
from pathlib import Path

import numpy as np


def execute(run, packages):
    """Run all cases of the folder given on the command line; one that fails leaves its reason instead of its
    output. The versions of ``packages`` are written beside."""
    folder = Path(sys.argv[1])
    reasons = {}
    for case in json.loads((folder / "cases.json").read_text()):
        try:
            np.save(folder / case["out"], run(case, folder))
        except Exception as error:
            reasons[case["name"]] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            traceback.print_exc()
    (folder / "failed.json").write_text(json.dumps(reasons))
    (folder / "versions.json").write_text(json.dumps({name: version(name) for name in packages}))
