"""The folder of a converted network.

::

    ann.onnx           the ANN that it came from, batch norm folded
    network.nir        the spiking network: the hub graph with its discrete-time semantics
    certificate.json   what was converted how, and what that kept (:mod:`snn_deploy.convert.documents`)
    certificate.svg    accuracy and synaptic operations against T
    certificate.md     the same in words and tables
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir

from snn_deploy.convert.ann import Ann
from snn_deploy.convert.chart import chart
from snn_deploy.convert.documents import Certificate
from snn_deploy.convert.to_onnx import write_onnx
from snn_deploy.convert.words import page
from snn_deploy.core.damage import read_sealed, seal
from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.core.files import atomic_dir, sha256_file, write_json, write_text
from snn_deploy.core.places import CERTIFICATE
from snn_deploy.graph.passes.for_readers.encoding import PortableEncoding
from snn_deploy.graph.readers.io import write_nir

NETWORK, ANN = "network.nir", "ann.onnx"


def require_new(out: Path) -> None:
    """Check that a folder can be made at ``out``.

    Raises:
        ConfigError: something lies there.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"'{out}' exists; it is not overwritten.", hint="Choose another --out.")


def write_conversion(out: Path, ann: Ann, graph: nir.NIRGraph, content: Mapping[str, Any]) -> Certificate:
    """Write a folder: ANN, network, and the certificate with ``content`` and the hashes of both."""
    with atomic_dir(out.resolve(), lambda old: require_new(out)) as folder:
        write_nir(PortableEncoding()(graph), folder / NETWORK)
        write_onnx(ann, folder / ANN)
        hashes = {"network_sha256": sha256_file(folder / NETWORK), "ann_sha256": sha256_file(folder / ANN)}
        whole = {**content, **hashes}
        sealed = {**whole, "sha256": seal(whole)}
        certificate = Certificate.model_validate_json(json.dumps(sealed))
        write_json(folder / CERTIFICATE, sealed)
        write_text(folder / "certificate.svg", chart(certificate))
        write_text(folder / "certificate.md", page(certificate))
    return certificate


def read_conversion(folder: Path) -> Certificate:
    """The certificate in ``folder``, after checking that it and the network are those that were written.

    Raises:
        DataError: one is missing, damaged or changed.
    """
    certificate, _ = read_sealed(folder / CERTIFICATE, Certificate, "certificate of the conversion")
    network = folder / NETWORK
    if not network.is_file() or sha256_file(network) != certificate.network_sha256:
        raise DataError(
            f"'{network}' is not the network of the certificate beside it.",
            hint="Put the file back as it was, or convert again.",
        )
    return certificate
