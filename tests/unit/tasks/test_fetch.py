"""Bundles from the hub, given by a server of our own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from snn_deploy.core.errors import ConfigError, MissingOptionalError
from snn_deploy.tasks.fetch import fetch

SHA = "a" * 40
REPOSITORIES = {
    "me/tiny": {"manifest.json": b"{}", "report/report.json": b"[]", ".gitattributes": b"*"},
    "me/other": {"weights.bin": b"no bundle"},
}


class Hub(BaseHTTPRequestHandler):
    """What the client asks of the hub: a repository's list of files, and the files."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_words: object) -> None: ...

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        for name, files in REPOSITORIES.items():
            if path == f"/api/models/{name}" or path.startswith(f"/api/models/{name}/revision/"):
                siblings = [{"rfilename": f, "size": len(content)} for f, content in files.items()]
                found = json.dumps({"id": name, "sha": SHA, "siblings": siblings}).encode()
                return self._send(200, found, body=body)
            if path == f"/api/models/{name}/tree/{SHA}":
                tree = [{"type": "file", "path": f, "size": len(c), "oid": SHA} for f, c in files.items()]
                return self._send(200, json.dumps(tree).encode(), body=body)
            prefix = f"/{name}/resolve/{SHA}/"
            if path.startswith(prefix) and path.removeprefix(prefix) in files:
                return self._send(200, files[path.removeprefix(prefix)], body=body)
        return self._send(404, b"{}", body=body)

    def _send(self, status: int, content: bytes, *, body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"')
        self.send_header("X-Repo-Commit", SHA)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    pytest.importorskip("huggingface_hub", reason="the extra 'hub' is not installed")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def cp(endpoint: str, folder: Path, address: str) -> subprocess.CompletedProcess[str]:
    """``cp model`` in a process of its own: the client reads its endpoint when it is imported."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "snn_deploy", "cp", "model", address]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_bundle_is_fetched_whole(endpoint: str, tmp_path: Path) -> None:
    done = cp(endpoint, tmp_path, "hf://me/tiny")
    assert done.returncode == 0, done.stderr
    found = {
        p.relative_to(tmp_path / "tiny").as_posix() for p in (tmp_path / "tiny").rglob("*") if p.is_file()
    }
    assert found == {"manifest.json", "report/report.json"}
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".fetch-")]
    assert cp(endpoint, tmp_path, "hf://me/tiny").returncode == 2


@pytest.mark.parametrize(
    ("address", "said"), [("hf://me/other", "no bundle"), ("hf://me/absent", "cannot be fetched")]
)
def test_what_is_no_bundle_is_refused(endpoint: str, tmp_path: Path, address: str, said: str) -> None:
    done = cp(endpoint, tmp_path, address)
    assert done.returncode == 7
    assert said in done.stderr
    assert [p.name for p in tmp_path.iterdir() if p.name != "home"] == []


@pytest.mark.parametrize("address", ["hf://", "hf://one", "hf://../x", "hf://a/b/c", "hf://a/b@../c"])
def test_an_address_that_is_none(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no address"):
        fetch(address, tmp_path / "new")


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingOptionalError, match="huggingface_hub"):
        fetch("hf://me/tiny", tmp_path / "new")
