"""Images from disk, decoded by several threads, also before they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.core.parsing import named_damage

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
MAX_PIXELS = 1 << 26
"""Images with more pixels are not decoded; one of this size needs 200 MB for a moment."""

_SHOWN = 20

Pixels = NDArray[np.uint8]


class Decoder:
    """Central pixels of the images below a folder, which are named by their paths in it.

    Args:
        folder: where they are.
        size, resize: as in :func:`decode_image`.
        workers: threads.
    """

    def __init__(self, folder: Path, size: int, resize: int, workers: int) -> None:
        self._folder, self._size, self._resize = folder, size, resize
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._expected: dict[str, Future[Pixels]] = {}

    def expect(self, names: Iterable[str]) -> None:
        """Begin to decode these images, in this order, and forget others that were expected and not asked
        for: what is kept in memory is never more than the images of one call."""
        before, self._expected = self._expected, {}
        for name in names:
            self._expected[name] = before.pop(name) if name in before else self._begin(name)
        for forgotten in before.values():
            forgotten.cancel()

    def decode(self, names: Sequence[str]) -> Pixels:
        """``[N, 3, size, size]``.

        Raises:
            DataError: images are damaged or gone; the first 20 are named.
        """
        pixels = np.empty((len(names), 3, self._size, self._size), np.uint8)
        damaged = []
        jobs = [self._expected.pop(name) if name in self._expected else self._begin(name) for name in names]
        for place, (name, job) in enumerate(zip(names, jobs, strict=True)):
            try:
                pixels[place] = job.result()
            except DataError as error:
                damaged.append(Problem(name, error.message))
        if damaged:
            raise DataError(
                f"{len(damaged)} images in '{self._folder}' cannot be used.",
                hint="Extract the archive again, or delete these files.",
                problems=damaged[:_SHOWN],
            )
        return pixels

    def _begin(self, name: str) -> Future[Pixels]:
        return self._pool.submit(decode_image, self._folder / name, self._size, self._resize)


def decode_image(path: Path, size: int, resize: int) -> Pixels:
    """The central ``size x size`` pixels, uint8 ``[3, size, size]``, of an image of any size.

    Of the central square (as large as the shorter side), the middle ``size / resize`` of its side is sampled.

    Raises:
        DataError: the file cannot be read, is damaged, or has more than 2^26 pixels.
    """
    text = "cannot be decoded"
    with named_damage(text, unreadable=text), _opened(path) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise DataError(f"{width} x {height} pixels; the limit is {MAX_PIXELS}")
        # Pillow warns when it drops the transparency of a palette, so that goes by way of RGBA.
        opaque = (image.convert("RGBA") if image.mode == "P" else image).convert("RGB")
        half = min(width, height) * size / resize / 2
        box = (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)
        shown = opaque.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(shown).transpose(2, 0, 1)


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"its header announces too many pixels; the limit is {MAX_PIXELS}") from None
