"""Valid samples, weights and images, and who reads them: targets of fuzzing."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from snn_deploy.data.loading.decoding import decode_image
from snn_deploy.data.sets.idx import read_idx
from snn_deploy.data.sets.unpickle import load_pickle
from snn_deploy.models.load import load_weights
from snn_deploy.tasks.samples import read_samples
from support.fuzz_events import in_zip, saved
from support.fuzz_target import Target
from support.mutation import blind, in_text

SHAPE = (3, 5, 2, 4, 4)


def small_network() -> nn.Module:
    """Layers of most kinds of tensors."""
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(4, 3))


@cache
def _samples() -> list[bytes]:
    rng = np.random.default_rng(0)
    x, y = rng.random(SHAPE).astype(np.float32), rng.integers(0, 3, SHAPE[1])
    return [saved(np.savez, x=x, y=y), saved(np.savez_compressed, x=x)]


@cache
def _weights() -> list[bytes]:
    torch.manual_seed(0)
    return [safetensors.torch.save(small_network().state_dict())]


def in_safetensors(content: bytes, rng: Random) -> bytes:
    """Another header, of the right length."""
    (size,) = struct.unpack("<Q", content[:8])
    header = in_text(content[8 : 8 + size], rng)
    if rng.random() < 0.5:
        about = json.loads(content[8 : 8 + size])
        tensor = about[rng.choice([name for name in about if name != "__metadata__"])]
        key = rng.choice(["dtype", "shape", "data_offsets"])
        tensor[key] = rng.choice(
            ["F64", "I8", "BOOL", [2**62], [-1, 4], [0], [], [2**31, 2**31], [4, 2], None, 7]
        )
        header = json.dumps(about).encode()
    return struct.pack("<Q", len(header)) + header + content[8 + size :]


@cache
def _idx() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
    return [gzip.compress(struct.pack(">4I", 0x803, *pixels.shape) + pixels.tobytes(), mtime=0)]


def in_gzip(content: bytes, rng: Random) -> bytes:
    """Damage within a packed file whose check sum stays right."""
    return gzip.compress(blind(gzip.decompress(content), rng), mtime=0)


@cache
def _pickles() -> list[bytes]:
    data = {"data": np.arange(3072 * 2, dtype=np.uint8).reshape(2, 3072), "labels": [1, 2], "label": "a"}
    return [pickle.dumps(data, protocol) for protocol in (3, 4)]


@cache
def _image(kind: str) -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    modes = ("RGB", "L", "P", "RGBA") if kind in {"PNG", "WEBP"} else ("RGB", "L")
    images = []
    for mode in modes:
        stream = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(stream, kind)
        images.append(stream.getvalue())
    return images


def run_image(path: Path) -> None:
    """What an image folder does with a file."""
    decode_image(path, 8, 9)


def run_pickle(path: Path) -> None:
    """What CIFAR's reader does with a file, before it looks for its arrays."""
    load_pickle(path.read_bytes(), path.name)


DATA = {
    "samples": Target(
        ".npz", _samples, (blind, in_zip), lambda path: read_samples(path, "rate", None, 10) and None
    ),
    "weights": Target(
        ".safetensors", _weights, (blind, in_safetensors), lambda path: load_weights(small_network(), path)
    ),
    "idx": Target(".gz", _idx, (blind, in_gzip), lambda path: read_idx(path, 3).sum() and None),
    "pickle": Target(".bin", _pickles, (blind,), run_pickle),
    "png": Target(".png", lambda: _image("PNG"), (blind,), run_image, refused=0.25),
    "jpeg": Target(".jpg", lambda: _image("JPEG"), (blind,), run_image, refused=0.25),
    "webp": Target(".webp", lambda: _image("WEBP"), (blind,), run_image, refused=0.25),
    "bmp": Target(".bmp", lambda: _image("BMP"), (blind,), run_image, refused=0.25),
}
