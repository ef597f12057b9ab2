"""The options of each data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator

from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import DATASETS, Options
from snn_deploy.data.options.frames import FileColumns, FrameOptions, RecordedOptions, TimeUnit
from snn_deploy.data.options.images import ImageOptions, Statistics


class DigitsDvsOptions(FrameOptions):
    """Options of ``digits-dvs``; the camera and the splits are fixed."""


class CameraOptions(FrameOptions):
    """Options of ``camera``: the images, the camera (defaults are our choice), and the frames.

    Attributes:
        of: the set of still images; its train, validation and test parts stay what they are.
        images: the options of that set, such as ``root``; not those of encoding, which the camera does.
        side: sensor pixels per side.
        path, loops: the way of the camera, ``diamond``, ``triangle`` or ``circle``, and how many times round.
        radius: its largest displacement in sensor pixels; by default 3/34 of the side.
        zoom: sensor pixels per image pixel; by default the image and the path just fit the sensor.
        duration_us: time for the whole path.
        steps: intervals in which log intensity is taken as linear.
        threshold, threshold_off: change of log intensity that makes an ON event, and an OFF event (by default
            the same).
        dark: intensity that is added before the logarithm; white is 1.
        mismatch: relative standard deviation of the thresholds from pixel to pixel.
        noise_hz: events without cause per pixel and second.
        refractory_us: rest of a pixel after an event.
        camera_seed: chooses mismatch and noise.
        workers: threads; by default one per core, divided among the processes of a machine.
    """

    mirrored: ClassVar[bool] = True

    of: str
    images: dict[str, Any] = {}
    side: int = Field(default=34, ge=8, le=1024)
    path: Literal["diamond", "triangle", "circle"] = "diamond"
    loops: int = Field(default=1, ge=1, le=100)
    radius: float | None = Field(default=None, ge=0, le=512)
    zoom: float | None = Field(default=None, gt=0, le=64)
    duration_us: int = Field(default=300_000, ge=1_000, le=10_000_000)
    steps: int = Field(default=96, ge=2, le=100_000)
    threshold: float = Field(default=0.3, ge=0.01, le=10)
    threshold_off: float | None = Field(default=None, ge=0.01, le=10)
    dark: float = Field(default=0.1, ge=1e-4, le=10)
    mismatch: float = Field(default=0.0, ge=0, le=1)
    noise_hz: float = Field(default=0.0, ge=0, le=1_000)
    refractory_us: int = Field(default=0, ge=0, le=1_000_000)
    camera_seed: int = Field(default=0, ge=0, lt=2**31)
    workers: int | None = Field(default=None, ge=1, le=256)

    @model_validator(mode="after")
    def _image_set(self) -> Self:
        try:
            known = DATASETS.options(self.of)
        except ConfigError as error:
            raise ValueError(f"of: {error.message}") from None
        if not issubclass(known, ImageOptions):
            raise ValueError(f"of: '{self.of}' is no set of still images")
        if taken := sorted({"encoding", "normalize", "augment"} & self.images.keys()):
            raise ValueError(f"images.{taken[0]}: the camera sees intensities as they are")
        try:
            self.image_options()
        except ValidationError as error:
            told = [".".join(map(str, ("images", *e["loc"]))) + f": {e['msg']}" for e in error.errors()]
            raise ValueError("; ".join(told)) from None
        if self.of == "mnist" and self.augment is not None and self.augment.flip:
            raise ValueError("augment.flip: a mirrored digit is of no class")
        return self

    def image_options(self) -> Options:
        """The options of the set of images, which gives intensities from 0 to 1."""
        return DATASETS.options(self.of).model_validate({**self.images, "normalize": None})


class NmnistOptions(RecordedOptions):
    """Options of ``nmnist``.

    Attributes:
        root: folder with ``Train`` and ``Test``; by default ``$SNN_DEPLOY_DATA/NMNIST``, or ``NMNIST`` in
            the cache folder.
        validation: share of the training recordings held out for validation, taken evenly from each
            class in the order of file names.
    """

    validation: float = Field(default=0.1, gt=0, lt=1)


class Dvs128ObjectsOptions(RecordedOptions):
    """Options of ``dvs128-objects``.

    Attributes:
        root: folder with ``session_a`` and ``session_b``; by default ``$SNN_DEPLOY_DATA/DVS128-objects``, or
            that in the cache folder.
        train_session: the session to train on; the other one is the test set.
        validation_every: of this many blocks of 2 s of the training session, one is for validation.
    """

    mirrored: ClassVar[bool] = True

    train_session: Literal["a", "b"] = "a"
    validation_every: int = Field(default=5, ge=2, le=9)


class DvsGestureOptions(RecordedOptions):
    """Options of ``dvs-gesture``.

    Attributes:
        root: folder of either form; by default ``$SNN_DEPLOY_DATA/DVSGesture``, or that in the cache folder.
        validation_users: this many persons, those with the highest numbers, are held out of training.
    """

    validation_users: int = Field(default=3, ge=1, le=20)


Cifar10DvsSplit = Literal["first-90", "last-90", "random"]


class Cifar10DvsOptions(RecordedOptions):
    """Options of ``cifar10-dvs``.

    Attributes:
        root: folder of the class folders; by default ``$SNN_DEPLOY_DATA/CIFAR10DVS``, or that in the cache
            folder.
        split: trained on the ``first-90`` percent of each class in the order of the files' numbers
            (spikingjelly's default), on the ``last-90`` percent (Duan et al. 2022, TEBN), or on a ``random``
            90 percent.
        split_seed: chooses the random split.
        validation: share of the training recordings held out, taken evenly from each class.
    """

    mirrored: ClassVar[bool] = True

    split: Cifar10DvsSplit = "first-90"
    split_seed: int = Field(default=0, ge=0, lt=2**31)
    validation: float = Field(default=0.1, gt=0, lt=1)


class NCaltech101Options(RecordedOptions):
    """Options of ``n-caltech101``.

    Attributes:
        root: folder with ``Caltech101``, or of the class folders; by default
            ``$SNN_DEPLOY_DATA/NCALTECH101``, or that in the cache folder.
        validation, test: shares of the recordings of each class, taken evenly in the order of file names.
    """

    mirrored: ClassVar[bool] = True

    validation: float = Field(default=0.1, gt=0, lt=0.5)
    test: float = Field(default=0.2, gt=0, lt=0.5)


class ShdOptions(RecordedOptions):
    """Options of ``shd``.

    Attributes:
        root: folder of the two files; by default ``$SNN_DEPLOY_DATA/SHD``, or that in the cache folder.
        validation: share of the training recordings held out, taken evenly from each class.
    """

    validation: float = Field(default=0.1, gt=0, lt=1)


class TimeSeriesOptions(Options):
    """Options of ``time-series``.

    Attributes:
        problem: the first part of the names of the two files, ``PROBLEM_TRAIN.ts`` and ``PROBLEM_TEST.ts``.
        dimensions: of a series.
        root: their folder; by default ``UEA/PROBLEM`` in ``$SNN_DEPLOY_DATA`` or in the cache folder, or the
            one that the package aeon brings.
        validation: share of the training series held out, taken evenly from each class.
    """

    problem: str = Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=100)
    dimensions: int = Field(ge=1, le=65536)
    root: Path | None = None
    validation: float = Field(default=0.2, gt=0, lt=1)


class EventFolderOptions(RecordedOptions):
    """Options of ``event-folder``.

    Attributes:
        root: the folder.
        table: the table in it. Where there is none, recordings lie in a folder for each class.
        height, width: of the sensor, in pixels.
        validation: share of the training samples of each class that is held out when the table has no
            validation lines.
        test: share of the recordings of each class that is for test where neither a table nor folders say.
        columns: which column is which in files that do not name them so: x, y, p and t in their order, ``_``
            for a column to pass over; or for each of the four its name, or its path in an HDF5 file.
        time_unit: of the time stamps of such files.
    """

    mirrored: ClassVar[bool] = True

    table: str = "recordings.csv"
    columns: FileColumns = None
    time_unit: TimeUnit | None = None
    test: float = Field(default=0.2, gt=0, lt=1)
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    validation: float = Field(default=0.1, gt=0, lt=1)


class CifarOptions(ImageOptions):
    """Options of ``cifar10``.

    Attributes:
        root: by default ``$SNN_DEPLOY_DATA/cifar-10-batches-py``, or that in the cache folder.
        verify: check that all files are there with their published MD5 checksums.
        validation: this many training images are held out, taken evenly from each class.
    """

    normalize: Statistics | None = "cifar10"
    verify: bool = True
    validation: int = Field(default=5_000, ge=1)


class Cifar100Options(CifarOptions):
    """Options of ``cifar100``.

    Attributes:
        root: by default ``$SNN_DEPLOY_DATA/cifar-100-python``, or that in the cache folder.
    """

    normalize: Statistics | None = "cifar100"


class IdxOptions(ImageOptions):
    """Options of ``mnist``.

    Attributes:
        root: folder of the files; by default ``$SNN_DEPLOY_DATA/MNIST/raw``, or that in the cache folder.
        verify: check that the content of all files is the published one (SHA-256).
        validation: this many training images are held out, taken evenly from each class.
    """

    normalize: Statistics | None = "mnist"
    verify: bool = True
    validation: int = Field(default=5_000, ge=1)


class FashionMnistOptions(IdxOptions):
    """Options of ``fashion-mnist``.

    Attributes:
        root: by default ``$SNN_DEPLOY_DATA/FashionMNIST/raw``, that in the cache folder, or the folder of
            Debian's package ``dataset-fashion-mnist``, the first that is there.
    """

    normalize: Statistics | None = "fashion-mnist"


class ImageFolderOptions(ImageOptions):
    """Options of ``image-folder``.

    Attributes:
        root: folder with ``train`` and ``val``; by default ``$SNN_DEPLOY_DATA/imagenet``, or ``imagenet`` in
            the cache folder.
        size: height and width of what the network sees.
        resize: pixels to which the shorter side of an image is brought first; its central part is shown.
        validation: share of the training images held out for validation, taken evenly from each class.
        workers: threads that decode; by default one per core, at most 16, divided among the processes of a
            machine.
    """

    normalize: Statistics | None = "imagenet"
    size: int = Field(default=224, ge=8, le=2048)
    resize: int = Field(default=256, ge=8, le=2048)
    validation: float = Field(default=0.02, gt=0, lt=1)
    workers: int | None = Field(default=None, ge=1, le=256)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.resize < self.size:
            raise ValueError(f"resize ({self.resize}) is smaller than size ({self.size})")
        return self
