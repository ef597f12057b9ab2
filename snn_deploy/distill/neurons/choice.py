"""Which form of the neurons runs in training and evaluation: the one place that decides.

===========  =====================================================  ===================================
form         where                                                  which layers
===========  =====================================================  ===================================
``fused``    CUDA with Triton that compiles and passes a trial      IF, LIF, PLIF; any reset, surrogate
``looped``   CPU, bfloat16                                          the same, and started IF; sigmoid not,
                                                                    of which torch is the faster
``written``  CPU, and CUDA without such a Triton                    IF, LIF, PLIF, started IF
``module``   everywhere                                             all others, by their own code
===========  =====================================================  ===================================
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Literal, NamedTuple

import torch
from torch import nn

from snn_deploy.distill.neurons.dynamics import Dynamics, dynamics_of, learned_leak
from snn_deploy.distill.neurons.written_out import written_out
from snn_deploy.models.neurons import spiking_layers

Form = Literal["fused", "written"]
_Scan = Callable[[torch.Tensor, torch.Tensor | None, Dynamics], torch.Tensor]


class Choice(NamedTuple):
    """A form, and why it is not the fused one where that was wanted."""

    form: Form
    reason: str = ""


@cache
def choice(device: torch.device) -> Choice:
    """The form of the neurons on ``device``."""
    if device.type != "cuda":
        return Choice("written")
    try:
        return _trial(device)
    except Exception as error:  # noqa: BLE001 - a compiler that is missing or fails shows itself in any way
        first = (str(error).strip().splitlines() or [""])[0]
        return Choice("written", f"Triton does not run here ({type(error).__name__}: {first[:120]})")


def _trial(device: torch.device) -> Choice:
    """Compile and run the kernels on a few numbers, and hold their spikes to those of the CPU."""
    from snn_deploy.distill.neurons.fused import fused

    dynamics = Dynamics(1.7, True, 1.0, 1.0, None, True, "atan", 2.0)
    x = torch.linspace(-1, 4, 256).view(4, 64)
    there = x.to(device).requires_grad_()
    spikes = fused(there, None, dynamics)
    spikes.sum().backward()  # type: ignore[no-untyped-call]
    if not torch.equal(spikes.detach().cpu(), written_out(x, None, dynamics)):
        return Choice("written", "Triton's kernels fail their trial: their spikes are not those of the CPU")
    return Choice("fused")


_scans: dict[torch.device, _Scan] = {}
"""Those chosen so far: ``torch.compile`` looks up what it cannot choose."""


def _scan(device: torch.device) -> _Scan:
    if device not in _scans:
        if choice(device).form == "written":
            _scans[device] = written_out
        else:
            from snn_deploy.distill.neurons.fused import fused

            _scans[device] = fused
    return _scans[device]


def _run(node: nn.Module, dynamics: Dynamics, x: torch.Tensor) -> torch.Tensor:
    scan = _scan(x.device)
    if x.is_cuda and isinstance(dynamics.threshold, torch.Tensor):
        scan = written_out
    elif _looped(x.device, x.dtype == torch.bfloat16) and dynamics.slope != "sigmoid":
        from snn_deploy.distill.neurons.looped import looped

        scan = looped
    return scan(x, learned_leak(node), dynamics)


def _looped(device: torch.device, bfloat16: bool) -> bool:
    return device.type == "cpu" and bfloat16


@contextlib.contextmanager
def scanned(network: nn.Module) -> Iterator[None]:
    """Inside the block the layers of ``network`` in the module's table, which are in multi-step mode and at
    rest, are computed in the form that stands there; their state stays as it is."""
    for device in {parameter.device for parameter in network.parameters()}:
        _scan(device)
    covered = [(node, found) for node in network.modules() if (found := dynamics_of(node)) is not None]
    for node, found in covered:
        node.multi_step_forward = partial(_run, node, found)  # type: ignore[assignment]
    try:
        yield
    finally:
        for node, _ in covered:
            del node.multi_step_forward


def described(device: torch.device, *, bfloat16: bool = False) -> str:
    """The form on ``device`` in words, for people and records."""
    if _looped(device, bfloat16):
        return "compiled loops"
    return "fused, in Triton" if choice(device).form == "fused" else "written out in torch"


def slow_paths(network: nn.Module, device: torch.device, *, bfloat16: bool = False) -> list[str]:
    """What of ``network`` does not run in the fastest form on ``device``, and why: a sentence each."""
    said = [f"neurons are {described(device)}: {reason}" for reason in [choice(device).reason] if reason]
    if _looped(device, bfloat16) and not torch.cpu._is_avx512_bf16_supported():
        said.append("this processor has no instructions for bfloat16: train.amp=off is faster")
    layers = {name: network.get_submodule(name) for name in spiking_layers(network)}
    others = {name: type(node).__name__ for name, node in layers.items() if dynamics_of(node) is None}
    if others:
        kinds = ", ".join(dict.fromkeys(others.values()))
        said.append(
            f"{len(others)} of {len(layers)} layers of neurons run by their own code, which is slower "
            f"({kinds}; first {next(iter(others))}): IF, LIF and PLIF with the surrogates of recipes are fast"
        )
    return said
