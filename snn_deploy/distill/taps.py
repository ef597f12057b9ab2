"""See the outputs of modules by their path, without editing the network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from snn_deploy.core.errors import ConfigError, Problem, did_you_mean


@contextlib.contextmanager
def tap(network: nn.Module, paths: Sequence[str]) -> Iterator[dict[str, torch.Tensor]]:
    """Collect the outputs of the modules at ``paths`` while the context is open.

    The dictionary fills during the network's forward pass; a module that runs twice leaves its last output.
    Hooks are removed on leaving, whatever happens.

    Raises:
        ConfigError: some paths do not exist, did not run, or do not return a tensor.
    """
    outputs: dict[str, torch.Tensor] = {}
    modules = _find(network, paths)

    def keep(path: str, output: object) -> None:
        if not isinstance(output, torch.Tensor):
            raise ConfigError(
                f"The module '{path}' returns a {type(output).__name__}; a tensor can be tapped."
            )
        outputs[path] = output

    with contextlib.ExitStack() as hooks:
        for path, module in modules.items():
            handle = module.register_forward_hook(
                lambda _module, _inputs, output, path=path: keep(path, output)
            )
            hooks.callback(handle.remove)
        yield outputs
    if idle := [path for path in paths if path not in outputs]:
        raise ConfigError(f"Tapped modules that the network does not run: {', '.join(idle)}.")


def _find(network: nn.Module, paths: Sequence[str]) -> dict[str, nn.Module]:
    modules = {name: module for name, module in network.named_modules() if name}
    problems = [
        Problem(path, f"no such module.{did_you_mean(path, modules)}")
        for path in paths
        if path not in modules
    ]
    if problems:
        raise ConfigError(
            f"Cannot tap {len(problems)} module{'s' if len(problems) > 1 else ''} of the network.",
            hint=f"Known: {', '.join(modules)}",
            problems=problems,
        )
    return {path: modules[path] for path in paths}
