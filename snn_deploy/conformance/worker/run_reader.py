"""Runs in the environment of a reader: execute the files of a folder with it, and write what came out.

    python run_reader.py READER.py FOLDER

READER.py defines ``run(path, x, dt)``: outputs ``[T, B, ...]`` of the NIR file at ``path`` for the input
``x [T, B, ...]`` with the step ``dt`` in seconds, as a NumPy array. FOLDER/cases.json lists the cases;
FOLDER/done.jsonl gets a line when one begins and one when it ends. Standard library and NumPy only.
"""

import importlib.metadata
import importlib.util
import json
import sys
import traceback
from pathlib import Path

import numpy as np


def limit(memory):
    """Keep this process below ``memory`` bytes of data, where the system can."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def load(path):
    """The module at ``path``, under a name that is no package's."""
    spec = importlib.util.spec_from_file_location("reader_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def version(name):
    """The installed version of ``name``, or nothing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def main(script, folder):
    """See the module's text."""
    job = json.loads((folder / "cases.json").read_text())
    limit(job["memory"])
    reader = load(script)
    packages = getattr(reader, "PACKAGES", ())
    (folder / "versions.json").write_text(json.dumps({name: version(name) for name in packages}))
    with (folder / "done.jsonl").open("a") as log:

        def note(**entry):
            log.write(json.dumps(entry) + "\n")
            log.flush()

        for case in job["cases"]:
            note(begun=case["name"])
            try:
                y = reader.run(folder / case["file"], np.load(folder / case["x"]), case["dt"])
                np.save(folder / case["out"], np.asarray(y, np.float64), allow_pickle=False)
                note(ended=case["name"])
            except BaseException as error:  # whatever a reader raises is its answer
                traceback.print_exc()
                first = str(error).strip().partition("\n")[0]
                note(ended=case["name"], refused=f"{type(error).__name__}: {first}"[:300])
                if isinstance(error, KeyboardInterrupt):
                    raise


main(Path(sys.argv[1]), Path(sys.argv[2]))
