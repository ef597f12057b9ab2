"""Fetch a bundle from the Hugging Face hub, and only when somebody asks for it by ``hf://``."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from snn_deploy.core.errors import ConfigError, DataError, MissingOptionalError
from snn_deploy.export.seal import MANIFEST

_REPOSITORY = re.compile(r"hf:/+(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w.-]+))?")
MAX_BYTES = 2**31
"""Of a repository; our choice."""


def is_remote(name: str) -> bool:
    """Whether ``name`` is an address on the hub."""
    return name.startswith("hf:/")


def fetch(name: str, destination: Path) -> None:
    """Copy the repository ``hf://ORGANISATION/NAME[@REVISION]``, a bundle, to a new folder.

    Raises:
        ConfigError: no such address, or something lies at ``destination``.
        MissingOptionalError: the package huggingface_hub is not installed.
        DataError: the hub does not give it, or it is no bundle.
    """
    match = _REPOSITORY.fullmatch(name)
    if match is None:
        raise ConfigError(f"'{name}' is no address on the hub.", hint="Such as hf://organisation/name@main.")
    if destination.exists():
        raise ConfigError(f"'{destination}' exists; it is not overwritten.")
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError:
        raise MissingOptionalError(
            "The hub needs the package huggingface_hub.", hint="Install it: pip install 'snn-deploy[hub]'"
        ) from None
    repository, revision = match["name"], match["revision"]
    with tempfile.TemporaryDirectory(dir=destination.absolute().parent, prefix=".fetch-") as place:
        try:
            info = HfApi().model_info(repository, revision=revision, files_metadata=True)
            size = sum(file.size or 0 for file in info.siblings or ())
            if size > MAX_BYTES:
                raise DataError(f"'{name}' holds {size:,} bytes; at most {MAX_BYTES:,} are fetched.")
            snapshot_download(repository, revision=info.sha, local_dir=place)
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001 - the client's, its transport's and the hub's own kinds
            said = str(error).strip().partition("\n")[0]
            raise DataError(f"'{name}' cannot be fetched: {type(error).__name__}: {said}") from None
        shutil.rmtree(Path(place) / ".cache", ignore_errors=True)
        (Path(place) / ".gitattributes").unlink(missing_ok=True)
        if not (Path(place) / MANIFEST).is_file():
            raise DataError(f"'{name}' holds no {MANIFEST}: it is no bundle of snn-deploy.")
        shutil.copytree(place, destination)
