"""A CUDA device that is not there: what of torch and of ours would ask a driver is answered here.

Tensors are fake (torch's ``FakeTensorMode``): they have shapes, types, strides and a device, but no numbers.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

CUDA = torch.device("cuda", 0)
FAKE = FakeTensorMode(allow_non_fake_inputs=True)
"""The only one: constants are kept from step to step, and are of the mode that made them."""
_RANDOM = ("rand", "randn", "randint", "randperm")


def require_stub(stub: Path) -> None:
    """Stop unless this process was started with ``stub``, and torch is built for CUDA."""
    if torch.version.cuda is None:
        raise SystemExit(f"torch {torch.__version__} is not the CUDA build: see `make test-cuda-fake`.")
    if str(stub) not in os.environ.get("LD_PRELOAD", ""):
        raise SystemExit(f"start this with LD_PRELOAD={stub}: see `make test-cuda-fake`.")
    torch._C._ensureCUDADeviceGuardSet()
    ctypes.c_int.in_dll(ctypes.CDLL(str(stub)), "stub_devices").value = 64


def _generators(classes: Any) -> None:
    """Generators of a device that draw nothing, in every module of ``classes`` that makes them."""
    from snn_deploy.processes.share import BatchGenerator

    class Fake(BatchGenerator):
        device = property(lambda self: CUDA)  # type: ignore[assignment]

        def __new__(cls, *_: object) -> Fake:
            return torch.Generator.__new__(cls)

        def __init__(self, *_: object) -> None:
            pass

        def manual_seed(self, seed: int) -> Fake:
            return self

        def get_state(self) -> torch.Tensor:
            return torch.zeros(16, dtype=torch.uint8)

        def set_state(self, state: torch.Tensor) -> None:
            pass

    for module in classes:
        module.BatchGenerator = Fake

    def without(draw: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def drawn(*args: Any, generator: Any = None, **more: Any) -> torch.Tensor:
            own = {} if generator is None or isinstance(generator, Fake) else {"generator": generator}
            return draw(*args, **own, **more)

        return drawn

    for name in _RANDOM:
        setattr(torch, name, without(getattr(torch, name)))


def pretend() -> None:
    """From now on there is a CUDA device with bfloat16, cuDNN and Triton."""
    from snn_deploy.distill import batches, step
    from snn_deploy.distill.neurons import choice
    from snn_deploy.processes import share

    fake_tensor.init_gpu_context = lambda device: None  # type: ignore[assignment]
    torch.cuda.is_available = lambda: False  # autograd would wait for its streams
    nn.init.trunc_normal_ = lambda tensor, *_, **__: tensor  # it looks at its numbers
    nn.Module._apply = _moved  # type: ignore[method-assign]
    torch.cuda.is_bf16_supported = lambda *_, **__: True  # type: ignore[assignment]
    torch.cuda.current_device = lambda: 0
    torch.amp.autocast_mode.torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    torch._C._select_conv_backend = lambda *_, **__: torch._C._ConvBackend.Cudnn
    torch._C._conv_determine_backend_memory_format = _convolution_layout
    choice.choice = lambda device: choice.Choice("fused" if device.type == "cuda" else "written")
    _generators((share, batches, step))
    real = batches.Batches._draw

    def draw(self: Any, samples: int, epoch: int) -> Any:
        with unset_fake_temporarily():  # these numbers are drawn on the CPU, and looked at
            return real(self, samples, epoch)

    batches.Batches._draw = draw


def _moved(self: nn.Module, convert: Callable[[torch.Tensor], torch.Tensor], *_: object) -> nn.Module:
    """``Module._apply``; torch's own would put data of another device into the old parameter."""
    for child in self.children():
        child._apply(convert)
    for name, parameter in self._parameters.items():
        if parameter is not None:
            moved = convert(parameter.detach())
            self._parameters[name] = nn.Parameter(moved, parameter.requires_grad)
    for name, buffer in self._buffers.items():
        if buffer is not None:  # one whose number is known would be moved in earnest
            fresh = torch.zeros(buffer.shape, dtype=buffer.dtype, device=buffer.device)
            self._buffers[name] = convert(fresh)
    return self


def _convolution_layout(x: torch.Tensor, weight: torch.Tensor, backend: Any) -> torch.memory_format:
    last = torch.channels_last
    either = any(t.is_contiguous(memory_format=last) for t in (x, weight)) if x.dim() == 4 else False
    both_first = x.is_contiguous() and weight.is_contiguous()
    return last if either and not both_first else torch.contiguous_format
