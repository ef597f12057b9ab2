"""ANNs in ONNX files as others' exporters write them, read by `convert`, against the networks themselves.

::

    python -m interop.exporters        in tests/, from `make interop`

Each peer's ``write.py`` leaves ``NETWORK@EXPORTER.onnx`` in a folder, and ``NETWORK.npz`` with images
``x [B, C, H, W]`` and what the network gives, ``y [B, K]``. A file is read with all its scores within 1e-5 of
their largest, or refused, where ``REFUSED`` says it must be. Exit 1 otherwise.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from interop import environments
from snn_deploy.convert.ann import Runner
from snn_deploy.convert.from_onnx import from_onnx
from snn_deploy.core.errors import UnsupportedError

PEERS = ("keras", "exporters_torch")
REFUSED = {"squeezenet1_1": "Concat"}
"""Networks that no conversion takes, and the word that says why."""
SOFTMAX = {"residual"}
"""Networks with a softmax at the end, which is left out."""


def judged(file: Path) -> tuple[bool, str]:
    """Whether a file is read as it should be, and what was found."""
    name = file.stem.partition("@")[0]
    try:
        ann = from_onnx(file)
    except UnsupportedError as error:
        return name in REFUSED and REFUSED[name] in str(error), f"refused: {error.problems[0].what}"
    known = np.load(file.with_name(f"{name}.npz"))
    scores = Runner(ann)(torch.from_numpy(known["x"]))
    found = (scores.softmax(1) if name in SOFTMAX else scores).numpy()
    apart = float(abs(found - known["y"]).max() / abs(known["y"]).max())
    return name not in REFUSED and apart < 1e-5, f"{found.size} scores, apart by {apart:.0e} of the largest"


def main() -> int:
    """See the module's text."""
    wrong = 0
    for peer in PEERS:
        with tempfile.TemporaryDirectory() as folder:
            environments.answer(peer, "write.py", Path(folder))
            for file in sorted(Path(folder).glob("*.onnx")):
                good, found = judged(file)
                wrong += not good
                print(f"{peer:15} {file.stem:30} {found}{'' if good else '   WRONG'}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    environments.end(main)
