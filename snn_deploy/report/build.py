"""Write a report: one self-contained HTML page, the same data as JSON, and a table of layers as CSV."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from snn_deploy.core.errors import ConfigError, did_you_mean
from snn_deploy.core.files import write_text
from snn_deploy.core.text import visible
from snn_deploy.report import format as fmt
from snn_deploy.report.markdown import markdown
from snn_deploy.report.model import ReportData
from snn_deploy.report.neurobench import neurobench_json
from snn_deploy.report.read import FILE
from snn_deploy.report.table import layers_csv
from snn_deploy.report.view.accuracy import accuracy_view, training_view
from snn_deploy.report.view.activity import activity_view
from snn_deploy.report.view.comparison import comparison_view
from snn_deploy.report.view.conversion import conversion_view
from snn_deploy.report.view.decisions import decisions_view
from snn_deploy.report.view.difference import difference_view
from snn_deploy.report.view.early_exit import exit_view
from snn_deploy.report.view.energy import energy_view
from snn_deploy.report.view.fit import fit_view
from snn_deploy.report.view.latency import latency_view
from snn_deploy.report.view.layers import layer_panels
from snn_deploy.report.view.measured import measured_view
from snn_deploy.report.view.network import network_view
from snn_deploy.report.view.overview import KINDS, badge, facts, lede, tiles
from snn_deploy.report.view.parity import parity_view
from snn_deploy.report.view.provenance import FORMULAS, provenance_view
from snn_deploy.report.view.recording import recording_view

FORMATS: dict[str, str] = {
    "html": "report.html",
    "json": FILE,
    "csv": "layers.csv",
    "md": "report.md",
    "neurobench": "neurobench.json",
}
DEFAULT_FORMATS = ("html", "json", "csv", "neurobench")


def build_report(data: ReportData, folder: Path, formats: Sequence[str] = DEFAULT_FORMATS) -> dict[str, Path]:
    """Write ``data`` into ``folder`` in every one of ``formats``; the path of each.

    Raises:
        ConfigError: an unknown format.
    """
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(
                f"Unknown report format '{name}'.{did_you_mean(name, FORMATS)}",
                hint=f"Known: {', '.join(FORMATS)}",
            )
    writers = {
        "html": render_html,
        "json": render_json,
        "csv": layers_csv,
        "md": markdown,
        "neurobench": neurobench_json,
    }
    written = {}
    for name in formats:
        path = folder / FORMATS[name]
        write_text(path, writers[name](data))
        written[name] = path
    return written


def render_json(data: ReportData) -> str:
    """The report as JSON; :func:`~snn_deploy.report.read.read_report` reads it back unchanged."""
    return data.model_dump_json(indent=2) + "\n"


def render_html(data: ReportData) -> str:
    """The report as one page that loads nothing: styles, drawings and one script are inline, and its policy
    lets no other script run."""
    environment = _environment()
    script = _script(environment)
    return environment.get_template("report.html").render(
        data=data,
        kind=KINDS[data.header.kind],
        verdict=badge(data.header.verdict),
        lede=lede(data),
        tiles=tiles(data),
        accuracy=accuracy_view(data),
        parity=parity_view(data.parity),
        network=network_view(data),
        panels=layer_panels(data),
        recording=recording_view(data),
        difference=difference_view(data),
        decisions=decisions_view(data),
        exits=exit_view(data),
        activity=activity_view(data.activity),
        energy=energy_view(data.energy, data.activity),
        measured=measured_view(data.measured),
        latency=latency_view(data),
        fits=fit_view(data.fits),
        comparison=None if data.comparison is None else comparison_view(data.comparison),
        training=training_view(data.training),
        conversion=conversion_view(data.conversion),
        provenance=provenance_view(data.energy),
        samples=fmt.number(data.activity.samples) if data.activity else "",
        formulas=FORMULAS,
        facts=facts(data),
        created=fmt.moment(data.header.created),
        script=Markup(script),  # noqa: S704
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
    )


def _script(environment: Environment) -> str:
    """The page's own script, word for word."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, "report.js")[0]


def shown(value: object) -> object:
    """``value`` for a template: control characters of plain text as escapes."""
    return visible(value) if type(value) is str else value


def _environment() -> Environment:
    """Templates with every value escaped: names come from files of strangers."""
    return Environment(
        loader=PackageLoader("snn_deploy.report"),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
