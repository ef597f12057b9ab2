"""Run this bundle's ONNX models without snn-deploy, and compare with example.npz.

    pip install -r requirements-onnx.txt
    python run_onnx.py                 every model on the example: prints PASS or FAIL, exit 0 or 1
    python run_onnx.py FRAMES.npy      class scores for your own frames [T, B, ...] (README.md, Input)

`model.step.onnx` takes one frame per call and hands its states back: feed them in again with the next frame.
`model.scan.onnx` takes a whole sequence of any length, `model.unrolled.onnx` one of a fixed length. The
metadata entry `snn_deploy` of each file (JSON) names inputs, outputs, states with their start values, and how
class scores are decoded.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from own_frames import decisions, read_example, read_frames

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-4
ORDER = ("step", "scan", "unrolled")


def open_model(path):
    """A session on one thread, and the model's own description."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session, json.loads(session.get_modelmeta().custom_metadata_map["snn_deploy"])


def run_step(session, info, frames):
    """Step through `frames [T, B, ...]`, threading the states; returns `[T, B, ...]`.

    Two sets of buffers take turns as states before and after a step, so that no state is ever copied.
    """
    values = onnxruntime.OrtValue.ortvalue_from_numpy
    batch = frames.shape[1]

    def buffers():
        starts = (np.full((batch, *s["shape"]), s["start"], np.float32) for s in info["states"])
        return [values(start) for start in starts]

    before, after = buffers(), buffers()
    out = values(np.zeros((batch, *info["output"]["shape"]), np.float32))
    binding = session.io_binding()
    binding.bind_ortvalue_output(info["output"]["name"], out)
    outputs = []
    for frame in frames:
        x = values(np.ascontiguousarray(frame))  # keeps the memory of a copied frame alive
        binding.bind_ortvalue_input(info["input"]["name"], x)
        for state, old, new in zip(info["states"], before, after, strict=True):
            binding.bind_ortvalue_input(state["input"], old)
            binding.bind_ortvalue_output(state["output"], new)
        session.run_with_iobinding(binding)
        outputs.append(out.numpy().copy())
        before, after = after, before
    return np.stack(outputs)


def run_sequence(session, info, frames):
    """Run `frames [T, B, ...]` in one call; returns `[T, B, ...]`."""
    return session.run([info["output"]["name"]], {info["input"]["name"]: frames})[0]


def run(session, info, frames):
    """Run a model of any kind; returns `[T, B, ...]`."""
    return (run_step if info["kind"] == "step" else run_sequence)(session, info, frames)


def compare(name, outputs, expected):
    """Print one line; True when every output is equal (spikes) or within the tolerance (real values)."""
    if outputs.shape != expected.shape:
        print(f"FAIL {name}: outputs {outputs.shape}, expected {expected.shape}")
        return False
    bound = TOLERANCE * np.maximum(np.abs(expected), 1.0)
    differing = int((~(np.abs(outputs - expected) <= bound)).sum())
    print(f"{'FAIL' if differing else 'PASS'} {name}: {differing} of {expected.size} outputs differ")
    if differing:
        print("     A spike can flip where another processor rounds a membrane at the threshold differently.")
    return differing == 0


def find_models():
    """`{name: (session, info)}` of the models beside this script, the preferred one for frames first."""
    paths = {path.name.split(".")[1]: path for path in HERE.glob("model.*.onnx")}
    known = [name for name in ORDER if name in paths]
    return {name: open_model(paths[name]) for name in [*known, *sorted(set(paths) - set(known))]}


def main(arguments):
    """See the module's text."""
    models = find_models()
    if not models:
        print("FAIL there is no model.*.onnx beside this script")
        return 1
    if arguments:
        session, info = next(iter(models.values()))
        frames = read_frames(arguments[0], info["input"]["shape"])
        for line in decisions(run(session, info, frames), info["decode"], info["classes"]):
            print(line)
        return 0
    frames, shared, *own = read_example("x", "onnx_out", *(f"onnx_{name}_out" for name in models))
    expected = {name: shared if found is None else found for name, found in zip(models, own, strict=True)}
    passed = [
        compare(f"model.{name}.onnx", run(session, info, frames.astype(np.float32)), expected[name])
        for name, (session, info) in models.items()
    ]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
