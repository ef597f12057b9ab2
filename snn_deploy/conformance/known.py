"""The readers that we know how to run: the script for their environment, and what their files must be like.

Another reader is one script more: a ``FILE.py`` with ``run(path, x, dt)``, named instead of a reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from snn_deploy.core.errors import ConfigError, did_you_mean, known_names

SCRIPTS = Path(__file__).parent / "readers"


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader.

    Attributes:
        name: as ``--reader`` takes it.
        script: what runs in its environment.
        step: the step in seconds for which files are written, where a row does not have its own.
        nir_version: the NIR library that files are written for.
        remark: what one must know of a run, a sentence.
    """

    name: str
    script: Path
    step: float = 1e-4
    nir_version: str = "1.0.8"
    remark: str = ""


def _known(name: str, step: float = 1e-4, nir_version: str = "1.0.8", remark: str = "") -> Reader:
    return Reader(name, SCRIPTS / f"{name.replace('-', '_')}.py", step, nir_version, remark)


_OWN_STEP = "It takes its step from each neuron and cannot be told one."

READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        _known("snn-deploy", remark="Our own reader and reference simulator."),
        _known("snntorch", remark="Its step is 1e-4 s and cannot be told."),
        _known("norse"),
        _known("spikingjelly"),
        _known("nirtorch", remark="Its default maps, on which other readers build; it maps no neurons."),
        _known("sinabs", 1.0, "1.0.4", "As its importer sets it up; time constants count steps."),
        _known("sinabs-set", 1.0, "1.0.4", "Set after loading: one spike per step, reset to 0, no bound."),
        _known("rockpool", 1.0, "1.0.4", _OWN_STEP),
        _known("spyx", 1.0),
        _known("snn-mlir", remark=f"Its parsed layers, executed by our script. {_OWN_STEP}"),
    )
}  # fmt: skip


def find_reader(name: str, step: float | None = None, nir_version: str | None = None) -> Reader:
    """A known reader, or that of ``FILE.py``; ``step`` and ``nir_version`` replace what is known of it.

    Raises:
        ConfigError: neither a known name nor a file.
    """
    known = READERS.get(name)
    if known is None:
        if not name.endswith(".py"):
            raise ConfigError(
                f"Unknown reader '{name}'.{did_you_mean(name, READERS)}", hint=known_names(name, READERS)
            )
        if not Path(name).is_file():
            raise ConfigError(f"There is no file '{name}'.", hint="It defines run(path, x, dt).")
        known = Reader(Path(name).stem, Path(name))
    return Reader(
        known.name,
        known.script,
        known.step if step is None else step,
        known.nir_version if nir_version is None else nir_version,
        known.remark,
    )
