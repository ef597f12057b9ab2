"""Downloads from a server on this machine's loopback interface, one that can break off in the middle."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.recordings import bits40, some_events

from snn_deploy.core.errors import DataError
from snn_deploy.data.options.sets import NmnistOptions
from snn_deploy.data.sets import download as module
from snn_deploy.data.sets import nmnist as nmnist_module
from snn_deploy.data.sets.download import Remote, download, obtain, unpack
from snn_deploy.data.sets.nmnist import nmnist

CONTENT = bytes(range(256)) * 5000


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``limit`` bytes of a body are sent before the connection closes."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.limit, self.ranges, self.seen = {"/data.bin": CONTENT}, None, True, []

    def url(self, name="/data.bin"):
        return f"http://127.0.0.1:{self.server_port}{name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.seen.append(asked)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.limit])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join(10)


def test_a_file_arrives_with_progress(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 100_000)
    told = []
    download(
        server.url(), tmp_path / "new" / "a.bin", md5=md5(CONTENT), progress=lambda *now: told.append(now)
    )
    assert (tmp_path / "new" / "a.bin").read_bytes() == CONTENT
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.bin"]
    assert told == [("a.bin", min(n * 100_000, len(CONTENT)), len(CONTENT)) for n in range(1, 14)]


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path, ranges):
    server.limit, server.ranges = 400_000, ranges
    path = tmp_path / "a.bin"
    with pytest.raises(DataError, match="stopped after 400000 bytes") as caught:
        download(server.url(), path, md5=md5(CONTENT))
    assert "it continues there" in caught.value.hint
    assert not path.exists()
    server.limit = None
    download(server.url(), path, md5=md5(CONTENT))
    assert path.read_bytes() == CONTENT
    assert server.seen == [None, "bytes=400000-"]


def test_a_complete_part_is_only_checked(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    download(server.url(), tmp_path / "a.bin", md5=md5(CONTENT))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_another_file_is_deleted_and_its_checksum_told(server, tmp_path):
    with pytest.raises(DataError, match=f"MD5 {md5(CONTENT)}, published 0123") as caught:
        download(server.url(), tmp_path / "a.bin", md5="0123")
    assert str(tmp_path / "a.bin") in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_refusals_of_the_server_are_told(server, tmp_path):
    with pytest.raises(DataError, match="answers 404 Not Found"):
        download(server.url("/absent"), tmp_path / "a.bin", md5="")
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match="stopped after 0 bytes"):
        download(server.url(), tmp_path / "a.bin", md5="")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data.bin"])
def test_only_the_web_is_read(tmp_path, url):
    with pytest.raises(DataError, match="is no http or https address"):
        download(url, tmp_path / "a.bin", md5="")


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(members, mode="w:gz"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def unpacked(tmp_path, content):
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    unpack(archive, tmp_path / "out")
    out = tmp_path / "out"
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()}


def test_archives_are_unpacked_also_those_in_archives(tmp_path):
    inner = zipped({"x/1.bin": b"one"})
    assert unpacked(tmp_path, zipped({"top.txt": b"top", "in/Deep.zip": inner})) == {
        "top.txt": b"top",
        "in/x/1.bin": b"one",
    }


def test_tar_archives_are_unpacked(tmp_path):
    content = tarred([(tarfile.TarInfo("a/1.npy"), b"one"), (tarfile.TarInfo("2.npy"), b"two")])
    assert unpacked(tmp_path, content) == {"a/1.npy": b"one", "2.npy": b"two"}


def link(name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped({"../evil": b"x"}), "would lie outside"),
        (zipped({"/evil": b"x"}), "would lie outside"),
        (tarred([(tarfile.TarInfo("../evil"), b"x")]), "would lie outside"),
        (tarred([(link("a", "/etc/passwd"), b"")]), "which is no plain file"),
        (zipped({"a": b"x" * 99})[:-30], "cannot be unpacked"),
        (tarred([(tarfile.TarInfo("a"), b"x" * 99_999)])[:60], "cannot be unpacked"),
        (b"no archive", "cannot be unpacked"),
    ],
    # Not the bytes: an archive holds the second in which it was made, and workers must agree on names.
    ids=["zip-up", "zip-root", "tar-up", "tar-link", "zip-short", "tar-short", "no-archive"],
)
def test_archives_that_escape_or_are_damaged_are_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        unpacked(tmp_path, content)
    assert not (tmp_path / "evil").exists()


def test_large_archives_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_UNPACKED", 50)
    with pytest.raises(DataError, match="unpacks to 51 bytes; the limit is 50"):
        unpacked(tmp_path, zipped({"a": b"x" * 51}))
    monkeypatch.setattr(module, "MAX_MEMBERS", 1)
    with pytest.raises(DataError, match="holds 2 files; the limit is 1"):
        unpacked(tmp_path, zipped({"a": b"", "b": b""}))


def test_a_set_is_fetched_once_and_only_when_asked(server, tmp_path, monkeypatch, capsys):
    remotes = []
    for part, count in (("Train", 4), ("Test", 1)):
        files = {
            f"{part}/{digit}/{n}.bin": bits40(some_events(10 * digit + n, height=34, width=34))
            for digit in range(10)
            for n in range(count)
        }
        content = zipped(files)
        server.files[f"/{part}"] = content
        remotes.append(Remote(server.url(f"/{part}"), f"{part}.zip", md5(content)))
    monkeypatch.setattr(nmnist_module, "REMOTE", tuple(remotes))
    root = tmp_path / "NMNIST"

    def load(**options):
        made = NmnistOptions(root=root, validation=0.25, **options)
        return nmnist(made, timesteps=2, cache=tmp_path / "cache")

    with pytest.raises(DataError, match="There is no N-MNIST folder"):
        load()
    assert server.seen == []
    data = load(download=True)
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 10)
    assert len(server.seen) == 2
    assert "Train.zip" in capsys.readouterr().err
    assert load(download=True).digest == load().digest == data.digest
    assert len(server.seen) == 2
    obtain(remotes, tmp_path / "other", present=root)
    assert not (tmp_path / "other").exists()
