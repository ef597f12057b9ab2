"""Names of the ONNX models of a network."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["step", "scan", "unrolled"]
Precision = Literal["float32", "int8"]
INT8 = "-int8"
MODELS = tuple(kind + suffix for suffix in ("", INT8) for kind in get_args(Kind))
"""Its kinds with float32 weights, then with int8 weights."""
