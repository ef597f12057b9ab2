"""Install Lava, without torch, into the environment of the Python that runs this file.

    python install_lava.py

lava-nc and lava-dl are archived. Their metadata refuse Python 3.11 and later, and ask for torch and for old
versions, which running a network does not need: so pip takes them in a second step and does not ask. Python
3.11 to 3.13 run them with the lava_shims.py that lies beside this file. About 130 MB are downloaded.
"""

from __future__ import annotations

import subprocess
import sys

STEPS = (
    ("--only-binary", ":all:", "numpy<2.5", "scipy", "h5py", "networkx", "asteval"),
    ("--no-deps", "--ignore-requires-python", "--force-reinstall", "lava-nc==0.10.0", "lava-dl==0.6.0"),
)


def main() -> int:
    """Do every step; return pip's exit status, that of the first step which fails."""
    pip = [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    return next((status for step in STEPS if (status := subprocess.call([*pip, *step]))), 0)


if __name__ == "__main__":
    sys.exit(main())
