"""Writes image data sets in their public on-disk formats."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image


def words(text: str) -> list[str]:
    return text.split()


CIFAR10_NAMES = words("airplane automobile bird cat deer dog frog horse ship truck")


class Python2Pickle:
    """Protocol 2 as Python 2's cPickle writes it: text is bytes, every new object is memoised."""

    def __init__(self) -> None:
        self.count = 0

    def dump(self, value: object) -> bytes:
        return b"\x80\x02" + self.item(value) + b"."

    def put(self) -> bytes:
        self.count += 1
        return b"q" + bytes([self.count]) if self.count < 256 else b"r" + struct.pack("<I", self.count)

    def item(self, value: object) -> bytes:
        if isinstance(value, dict):
            head = b"}" + self.put() + b"("
            return head + b"".join(self.item(k) + self.item(v) for k, v in value.items()) + b"u"
        if isinstance(value, list):
            return (
                b"]"
                + self.put()
                + b"".join(self.appends(value[i : i + 1000]) for i in range(0, len(value), 1000))
            )
        if isinstance(value, str):
            return self.string(value.encode("latin-1"))
        if isinstance(value, bool) or value is None:
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        if isinstance(value, int):
            return self.integer(value)
        assert isinstance(value, np.ndarray)
        return self.array(value)

    def appends(self, items: list[object]) -> bytes:
        return b"(" + b"".join(self.item(item) for item in items) + b"e"

    def string(self, text: bytes) -> bytes:
        short = len(text) < 256
        return (
            (b"U" + bytes([len(text)]) if short else b"T" + struct.pack("<i", len(text))) + text + self.put()
        )

    def integer(self, value: int) -> bytes:
        if 0 <= value < 256:
            return b"K" + bytes([value])
        return b"M" + struct.pack("<H", value) if 0 <= value < 65536 else b"J" + struct.pack("<i", value)

    def array(self, value: np.ndarray) -> bytes:
        """``ndarray.__reduce__`` of numpy 1: a call that makes an empty array, then its state."""
        parts = [b"cnumpy.core.multiarray\n_reconstruct\n", self.put(), b"cnumpy\nndarray\n", self.put()]
        parts += [b"K\x00\x85", self.put(), b"U\x01b\x87", self.put(), b"R", self.put(), b"(K\x01"]
        parts += [*(self.integer(n) for n in value.shape), [b"", b"\x85", b"\x86"][value.ndim], self.put()]
        parts += [b"cnumpy\ndtype\n", self.put(), self.string(value.dtype.str[1:].encode())]
        parts += [b"K\x00K\x01\x87", self.put(), b"R", self.put(), b"(K\x03"]
        parts += [self.string(value.dtype.str[:1].encode()), b"NNN", self.integer(-1), self.integer(-1)]
        parts += [b"K\x00t", self.put(), b"b\x89", self.string(value.tobytes()), b"t", self.put(), b"b"]
        return b"".join(parts)


def cifar10_meta() -> bytes:
    content = {"num_cases_per_batch": 10000, "label_names": CIFAR10_NAMES, "num_vis": 3072}
    return Python2Pickle().dump(content)


def write_cifar10(root: Path, per_batch: int = 40, test: int = 30, seed: int = 0) -> dict[str, np.ndarray]:
    """A small CIFAR-10 folder; returns what it holds: ``NAME`` pixels and ``NAME.labels`` of each batch."""
    random = np.random.default_rng(seed)
    root.mkdir(parents=True)
    (root / "batches.meta").write_bytes(cifar10_meta())
    content = {}
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        count = test if name == "test_batch" else per_batch
        data = random.integers(0, 256, (count, 3072), dtype=np.uint8)
        labels = random.permutation(np.arange(count) % 10).tolist()
        batch = {
            "batch_label": name,
            "labels": labels,
            "data": data,
            "filenames": [f"{name}_{i}.png" for i in range(count)],
        }
        (root / name).write_bytes(Python2Pickle().dump(batch))
        content[name], content[f"{name}.labels"] = data, np.array(labels)
    return content


def write_cifar100(root: Path, train: int = 300, test: int = 100) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    root.mkdir(parents=True)
    names = {"fine_label_names": [f"fine_{i}" for i in range(100)]}
    meta = names | {"coarse_label_names": [f"coarse_{i}" for i in range(20)]}
    (root / "meta").write_bytes(Python2Pickle().dump(meta))
    content = {}
    for name, count in (("train", train), ("test", test)):
        data = random.integers(0, 256, (count, 3072), dtype=np.uint8)
        fine = random.permutation(np.arange(count) % 100).tolist()
        batch = {
            "filenames": [f"{i}.png" for i in range(count)],
            "batch_label": name,
            "fine_labels": fine,
            "coarse_labels": [label % 20 for label in fine],
            "data": data,
        }
        (root / name).write_bytes(Python2Pickle().dump(batch))
        content[name], content[f"{name}.labels"] = data, np.array(fine)
    return content


def idx(array: np.ndarray) -> bytes:
    """An idx file: big-endian header, then bytes."""
    return struct.pack(f">{1 + array.ndim}I", 0x0800 | array.ndim, *array.shape) + array.tobytes()


def write_mnist(root: Path, train: int = 100, test: int = 50, packed: bool = True) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    root.mkdir(parents=True)
    content = {}
    for part, count in (("train", train), ("t10k", test)):
        arrays = {
            f"{part}-images-idx3-ubyte": random.integers(0, 256, (count, 28, 28), dtype=np.uint8),
            f"{part}-labels-idx1-ubyte": random.permutation(np.arange(count) % 10).astype(np.uint8),
        }
        for name, array in arrays.items():
            data = idx(array)
            path = root / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(data) if packed else data)
        content |= arrays
    return content


def write_image_folder(
    root: Path, classes: tuple[str, ...] = ("cat", "dog"), train: int = 6, test: int = 3
) -> None:
    """PNG images of random sizes and noise, so that what is decoded can be compared exactly."""
    random = np.random.default_rng(0)
    for part, count in (("train", train), ("val", test)):
        for name in classes:
            folder = root / part / name
            folder.mkdir(parents=True)
            for n in range(count):
                height, width = random.integers(20, 40, 2)
                pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{name}_{n}.png")
