"""The teacher ``onnx``: the ANN in an ``.onnx`` file, which is its weights, too."""

from __future__ import annotations

from snn_deploy.convert.ann_module import AnnModule
from snn_deploy.convert.from_onnx import from_onnx
from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import TEACHERS
from snn_deploy.models.options import OnnxOptions
from snn_deploy.recipes.kept_files import kept_file


@TEACHERS.register("onnx")
def onnx_teacher(options: OnnxOptions, *, in_shape: tuple[int, ...], classes: int) -> AnnModule:
    """The trained ANN in an .onnx file, such as that of a conversion.

    Raises:
        ConfigError: it takes other images or gives other scores.
        DataError: the file is missing, damaged or changed.
        UnsupportedError: operators that are not read.
    """
    ann = from_onnx(kept_file(options.file, options.sha256))
    found = ann.shapes[ann.input], ann.shapes[ann.output]
    if found != (tuple(in_shape), (classes,)):
        raise ConfigError(
            f"The ANN '{options.file}' maps {found[0]} to {found[1]}; the data have {tuple(in_shape)} and "
            f"{classes} classes.",
            hint="Distil on the data that the ANN was trained on.",
        )
    return AnnModule(ann)
