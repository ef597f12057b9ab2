"""The version of the package, as the wheel is named and as bundles, reports and ONNX files record it."""

__version__ = "0.2.0"
