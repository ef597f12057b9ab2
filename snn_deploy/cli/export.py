"""``export``: write a bundle and prove it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from snn_deploy.cli.network import Data, Network, Override
from snn_deploy.cli.own import own_options
from snn_deploy.cli.reading import reading_options
from snn_deploy.core.text import proof_name, runtime_name


@own_options
@reading_options
def export(
    source: Network,
    to: Annotated[str, typer.Option("--to", help="Formats, separated by commas.")] = "nir,onnx,lava",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Bundle folder. Default: RUN/bundle, or NAME-bundle.", show_default=False),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=8,
            help="Weight bits of the lava format. Default: those it was trained with, else 8.",
            show_default=False,
        ),
    ] = None,
    onnx: Annotated[
        str, typer.Option("--onnx", help="ONNX models: step, scan, unrolled; with -int8 for 8-bit weights.")
    ] = "step,scan",
    opset: Annotated[int, typer.Option(help="ONNX operator set, 17 to 20.")] = 18,
    reader: Annotated[
        str | None,
        typer.Option(
            "--for",
            help="Reader of the NIR file: norse, rockpool, sinabs, snntorch, spikingjelly, spinnaker2, spyx. "
            "Default: a form that most read.",
            show_default=False,
        ),
    ] = None,
    nir_compat: Annotated[
        str, typer.Option(help="Oldest NIR library to be read by: 1.0.8 or 1.0.4.")
    ] = "1.0.8",
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Rule that may be broken, see docs/export.md; repeat for several."),
    ] = None,
    micro_steps: Annotated[
        bool,
        typer.Option("--micro-steps", help="Write neurons that fire whole numbers (ilif) as binary ones."),
    ] = False,
    scales: Annotated[
        Literal["layer", "channel"],
        typer.Option(help="One weight scale per layer, or per channel (lava format; simulation only)."),
    ] = "layer",
    lava_budget: Annotated[
        float, typer.Option(min=1, help="Seconds that Lava, which is slow, may take of the proof.")
    ] = 120,
    exit_at: Annotated[
        str | None,
        typer.Option(
            help="Confidence with which a sample may end early, as 0.9, or auto: chosen on validation data."
        ),
    ] = None,
    samples: Annotated[str, typer.Option(help="Test samples to prove it on: a number, or all.")] = "64",
    data: Data = None,
    override: Override = None,
    profile: Annotated[
        list[str] | None, typer.Option(help="Chip profile for the report; repeat for several.")
    ] = None,
    reading: Any = None,
    own: Any = None,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Write model files, run each in its own runtime on real samples, compare spike by spike, and report."""
    from snn_deploy import api
    from snn_deploy.cli import render
    from snn_deploy.core.errors import ParityError

    target = out or (source / "bundle" if source.is_dir() else Path(f"{source.stem}-bundle"))
    try:
        bundle = api.export_bundle(
            source,
            target,
            formats=formats_of(to),
            bits=bits,
            scales=scales,
            models=models_of(onnx),
            opset=opset,
            reader=reader,
            nir_version=nir_compat,
            allow=allow or (),
            micro_steps=micro_steps,
            samples=sample_count(samples),
            data=data,
            overrides=override or (),
            profiles=profile,
            lava_budget=lava_budget,
            exit_at=confidence_of(exit_at, "auto"),
            reading=reading,
            own=own,
            report=render.note,
        )
    except ParityError:
        if not (target / "manifest.json").is_file():
            raise
        _show(api.open_bundle(target), json)
        raise
    _show(bundle, json)
    if not json:
        if reader is not None:
            for line in bundle.manifest["formats"]["nir"]["approximations"]:
                render.say(f"{reader}: {line}")
        render.say(f"report:  {bundle.report}")
        written = bundle.manifest["formats"]
        backend = "loihi" if "lava" in written else "onnxruntime" if "onnx" in written else "reference"
        if "nir" in written:
            render.say(f"next:    snn-deploy simulate {target} --backend {backend} --samples all")


def formats_of(text: str) -> list[str]:
    """Formats named in ``a,b,c``, each once.

    Raises:
        ConfigError: a format is unknown; all unknown ones are named.
    """
    from snn_deploy.core.registry import FORMATS

    return _names(text, "format", FORMATS.names())


def models_of(text: str) -> list[str]:
    """ONNX models named in ``a,b,c``, each once.

    Raises:
        ConfigError: a model is unknown; all unknown ones are named.
    """
    from snn_deploy.simulate.onnx.models import MODELS

    return _names(text, "ONNX model", MODELS)


def _names(text: str, what: str, known: Sequence[str]) -> list[str]:
    from snn_deploy.core.errors import ConfigError, Problem, did_you_mean

    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [Problem(n, f"unknown {what}.{did_you_mean(n, known)}") for n in names if n not in known]
    if unknown or not names:
        raise ConfigError(
            f"Cannot export to these {what}s.", problems=unknown, hint=f"Known: {', '.join(known)}"
        )
    return names


def sample_count(text: str) -> int | None:
    """``all`` gives None, a positive number itself.

    Raises:
        ConfigError: neither.
    """
    from snn_deploy.core.errors import ConfigError

    if text == "all":
        return None
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise ConfigError(f"--samples takes a positive number or 'all', not '{text}'.")


def confidence_of(text: str | None, word: Literal["auto", "off"]) -> Any:
    """A number, or the ``word``; None is None.

    Raises:
        ConfigError: neither.
    """
    from snn_deploy.core.errors import ConfigError

    if text is None or text == word:
        return text
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--exit-at takes a confidence such as 0.9, or {word}, not '{text}'.") from None


def _show(bundle: Any, json: bool) -> None:
    from snn_deploy.cli import render
    from snn_deploy.core.early_exit import exit_words

    if json:
        render.emit_json(bundle.manifest)
        return
    render.table(
        ["file and runtime", "N", "spikes", "differ", "ties", "correct", "verdict"],
        (parity_row(p) for p in bundle.manifest["parity"]),
        title=f"{bundle.manifest['name']}: {bundle.manifest['verdict']}",
        numeric=("N", "spikes", "differ", "ties", "correct"),
    )
    for p in bundle.manifest["parity"]:
        if p["verdict"] == "not run":
            render.say(f"{p['format']} in {p['runtime']} was not run: {p['reason']}")
        elif p["runtime"] == "lava" and p["reason"]:
            render.say(f"{p['format']} in {p['runtime']}: {p['reason']}")
    if stated := bundle.manifest.get("exit"):
        render.say(exit_words(stated, bundle.manifest["timesteps"]))
    if bundle.manifest["verdict"] == "not verified":
        render.say(f"not verified: {bundle.manifest['reason']}")
    for sentence in bundle.manifest["provenance"].get("before_use", ()):
        render.say(f"know before you use this: {sentence}")


def parity_row(parity: dict[str, Any]) -> list[str]:
    """One check as a row of the parity table, which fits 80 columns."""
    if parity["verdict"] == "not run":
        counts = ["-"] * 4
    else:
        flips = sum(layer["differing"] for layer in parity["layers"])
        differing = parity["differing"] if parity["exact"] else flips
        counts = [
            f"{parity['compared']:,}",
            f"{differing:,}",
            f"{parity['ties']:,}",
            _percent(parity["accuracy"]),
        ]
    what = proof_name(parity["format"], parity["runtime"])
    if parity["reference"] != "network":
        what += f" vs {runtime_name(parity['reference'])}"
    return [what, str(parity["samples"]), *counts, parity["verdict"]]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
