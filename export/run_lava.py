"""Run this bundle's model.net in Lava without snn-deploy, and compare with example.npz.

    python install_lava.py
    python run_lava.py                 the example: prints PASS or FAIL, exit 0 or 1
    python run_lava.py FRAMES.npy      class scores for your own frames [T, B, ...] (README.md, Input)

install_lava.py, lava_shims.py and lava_worker.py lie beside this file. Lava is slow: up to a second per step
and sample for a large network.
"""

import json
import sys
from pathlib import Path

import h5py
import lava_shims
import lava_worker
import numpy as np
from own_frames import decisions, fail, read_contract, read_example, read_frames

HERE = Path(__file__).resolve().parent


def run(path, frames):
    """Outputs `[T, B, ...]` for `frames [T, B, ...]`, as if no layer cost a step, and the file's remarks."""
    with h5py.File(path, "r") as file:
        about = json.loads(file["snn_deploy"][()].tobytes())
    low, high = about["input_range"]
    units = np.rint(frames.astype(float) / about["input_scale"]).astype(np.int32)
    bits = 0 if (low, high) == (0, 1) else max(-low, high).bit_length()
    if not bits and not np.isin(units, (0, 1)).all():
        raise SystemExit("FAIL the network takes binary spikes, the frames hold other values")
    if lava_worker.first_population(str(path)) == "dense":
        units = units.reshape(*units.shape[:2], -1)
    readout = about["readout"]
    job = {"net": str(path), "input_bits": bits, "record": False, "isolate": False}
    job["membrane"] = readout is not None
    found = lava_worker.run_samples(job, units.swapaxes(0, 1))
    if readout is None:
        return found["spikes0"].swapaxes(0, 1), about
    membrane = found["membrane"].swapaxes(0, 1).astype(float)
    if readout["kind"] == "current":
        membrane = np.diff(membrane, axis=0, prepend=0)
    return (membrane / readout["scale"]).astype(np.float32), about


def main(arguments):
    """See the module's text."""
    lava_shims.install()
    if arguments:
        contract = read_contract() or fail("manifest.json", "is missing or damaged")
        frames = read_frames(arguments[0], contract["shape"])
        outputs, about = run(HERE / "model.net", frames)
        for line in decisions(outputs, about["decode"], about["classes"]):
            print(line)
        return 0
    frames, expected = read_example("x", "lava_out")
    outputs, _ = run(HERE / "model.net", frames)
    if outputs.shape != expected.shape:
        print(f"FAIL model.net: outputs {outputs.shape}, expected {expected.shape}")
        return 1
    differing = int((outputs != expected).sum())
    active = int((expected != 0).sum())
    verdict = "FAIL" if differing else "PASS"
    print(f"{verdict} model.net: {differing} of {expected.size} outputs differ ({active} are not zero)")
    return 1 if differing else 0


if __name__ == "__main__":
    lava_worker.end_with(main, sys.argv[1:])
