"""The README of a bundle: what the model is, how far it was proven, how to run it."""

from __future__ import annotations

from typing import Any

from snn_deploy.core.early_exit import exit_words
from snn_deploy.core.text import markdown, visible

_RUN = {
    "nir": "python -m pip install -r requirements-nir.txt\npython run_nir.py",
    "c": "sh run_c.sh      # a C99 compiler, nothing else; on a microcontroller: DEVICES.md",
    "c-float": "sh run_c_float.sh      # a C99 compiler, nothing else",
    "onnx": "python -m pip install -r requirements-onnx.txt\npython run_onnx.py",
    "lava": "python install_lava.py\npython run_lava.py",
}


def model_card(manifest: dict[str, Any]) -> str:
    """Markdown model card of a bundle."""
    lines = [
        f"# {markdown(manifest['name'])}",
        "",
        f"Spiking network, {manifest['timesteps']} time steps, input {_shape(manifest['input_shape'])}, "
        f"output {_shape(manifest['output_shape'])}. Exported by snn-deploy {manifest['snn_deploy']}; "
        f"**{manifest['verdict']}**.",
        "",
        "| format | runtime | against | samples | compared | differing | ties | verdict |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
        *(_parity_row(parity) for parity in manifest["parity"]),
        "",
        *_before_use(manifest),
        "A tie is a flip that float rounding alone explains: the membrane, recomputed in float64, lies as "
        "near to the threshold as rounding in its own sum can reach (0 where sums are exact).",
        "",
        *_evidence(manifest["parity"]),
        "The commands below run in this folder, best in a virtual environment for each format; they need "
        "neither snn-deploy nor torch. Each script compares what it computes with `example.npz` and prints "
        "PASS or FAIL. With a file, as in `python run_nir.py frames.npy`, those in Python give the class "
        f"scores of your own frames: {manifest['timesteps']} steps x samples x "
        f"{_shape(manifest['input_shape'])}.",
        "",
    ]
    provenance = manifest["provenance"]
    if said := [*provenance.get("assumed", ()), *filter(None, [provenance.get("reading")])]:
        lines += ["Of the file that it was made from:", "", *(f"- {markdown(line)}" for line in said), ""]
    lines += ["## Input", "", *(f"- {sentence}" for sentence in manifest["input"]["words"]), ""]
    if stated := manifest.get("exit"):
        lines += ["## Early exit", "", exit_words(stated, manifest["timesteps"]), ""]
    for name, content in manifest["formats"].items():
        lines += [f"## {name}", "", f"Files: {', '.join(f'`{f}`' for f in content['files'].values())}", ""]
        if content["approximations"]:
            lines += [*(f"- {sentence}" for sentence in content["approximations"]), ""]
        lines += ["```sh", _RUN.get(name, ""), "```", ""]
    if manifest["classes"]:
        lines += [f"Classes, in order: {', '.join(map(markdown, manifest['classes']))}.", ""]
    return visible("\n".join(lines))


def _before_use(manifest: dict[str, Any]) -> list[str]:
    """What limits the proof, if anything does."""
    known = [manifest["reason"]] if manifest["reason"] else []
    known += manifest["provenance"].get("before_use", [])
    if not known:
        return []
    return ["## Know before you use this", "", *(f"- {sentence}" for sentence in known), ""]


def _evidence(parities: list[dict[str, Any]]) -> list[str]:
    """What the proof exercised."""
    lines = []
    if cover := next((p["exercised"] for p in parities if p["exercised"]), None):
        lines.append(
            f"On the samples {cover['neurons_fired']} of {cover['neurons']} neurons fired, in "
            f"{cover['channels_fired']} of {cover['channels']} channels and {cover['layers_shown']} of "
            f"{cover['layers']} layers."
        )
        lines += [f"'{layer}' {why} on these samples." for layer, why in cover["not_shown"].items()]
    for p in parities:
        if probes := p["probes"]:
            lines.append(
                f"Synthetic inputs fed each of the {probes['nodes']} nodes of {p['format']} on its own: "
                f"{probes['differing']} of {probes['compared']} values differ; {probes['weights_alone']} of "
                f"{probes['weights']} weights stood alone in some sum, and the file holds "
                f"{probes['weights_held']} bit for bit."
            )
    return ["\n".join(lines), ""] if lines else []


def _shape(shape: list[int]) -> str:
    return " x ".join(str(n) for n in shape)


def _parity_row(parity: dict[str, Any]) -> str:
    cells = [parity["format"], parity["runtime"], parity["against"] or parity["reference"], parity["samples"]]
    counts = [parity["compared"], parity["differing"], parity["ties"]]
    if parity["verdict"] == "not run":
        counts = ["-", "-", "-"]
    verdict = parity["verdict"] + (f" ({parity['reason']})" if parity["reason"] else "")
    return "| " + " | ".join(str(cell) for cell in [*cells, *counts, markdown(verdict)]) + " |"
