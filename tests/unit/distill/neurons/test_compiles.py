"""The Triton kernels compile for GPUs, of which none need be here."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("triton", reason="the CUDA build of torch has Triton; see `make test-cuda-fake`")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("nothing is compiled with TRITON_INTERPRET=1", allow_module_level=True)

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from snn_deploy.distill.neurons import kernels

FORWARD = {"DECAY_INPUT": True, "SOFT": False, "FIRST": True, "LAST": True, "BLOCK": kernels.BLOCK}
BACKWARD = FORWARD | {"DETACH": False, "SLOPE": 0}


def ptx(kernel, given, constants, capability: int, dtype: str, **options) -> str:
    types = {name: "*fp32" if name.endswith("_ptr") else "fp32" for name in kernel.arg_names}
    types |= dict.fromkeys(given, f"*{dtype}") | {"neurons": "i32"} | dict.fromkeys(constants, "constexpr")
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(ASTSource(kernel, types, places), target=target, options=options)
    assert compiled.asm["cubin"]
    return compiled.asm["ptx"]


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
@pytest.mark.parametrize("leak", [0, 1, 2])
def test_compiles(leak: int, dtype: str, capability: int) -> None:
    steps = {"T": 4, "LEAK": leak}
    text = ptx(
        kernels.forward,
        ("x_ptr", "spikes_ptr"),
        FORWARD | steps,
        capability,
        dtype,
        enable_fp_fusion=False,
    )
    assert "fma" not in text  # or spikes could differ from those of the CPU
    assert ("div.rn" in text) == (leak == 1)
    ptx(kernels.backward, ("x_ptr", "g_ptr", "gx_ptr"), BACKWARD | steps, capability, dtype)
