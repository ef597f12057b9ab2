"""A torch module of anybody's as something that can be run and recorded, in the same form as every backend.

The module itself runs, in the way that it wants to be called. What its neurons give is recorded by hooks, and
so is the output of every step where the module returns only their mean, sum or last: that result is then held
against what the hooks saw, within ``TOLERANCE`` of rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from snn_deploy.core.errors import ConfigError, ParityError
from snn_deploy.graph.readers.calling import Calling
from snn_deploy.graph.readers.copies import alone, fresh_copy
from snn_deploy.graph.types import Trace, given_spikes

TOLERANCE = 1e-4


class ModuleExecutable:
    """Runs a fresh copy of ``module`` in eval mode for every call, so that its state starts from zero.

    ``shapes`` gives the output shape of every layer and output of ``calling``, without T and B.
    """

    def __init__(self, module: nn.Module, calling: Calling, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._module, self._calling, self._shapes = module, calling, dict(shapes)

    @property
    def layers(self) -> tuple[str, ...]:
        """Module paths of the neurons, in execution order."""
        return self._calling.layers

    @torch.inference_mode()
    def run(
        self,
        x: torch.Tensor,
        *,
        record: bool = False,
        forced: Mapping[str, torch.Tensor] | None = None,
    ) -> Trace:
        """Run ``x [T, B, *shape]``; see :class:`snn_deploy.simulate.base.Executable`.

        Raises:
            ConfigError: layers that it has not; or it repeats its input by itself, and ``x`` changes over
                time or has another number of steps.
            ParityError: what it returns is not what its last layers gave.
        """
        given = given_spikes(forced, self._calling.layers)
        self._check(x)
        size = self._calling.batch
        if size is None:
            return self._run(x, record, given)
        batch, traces = int(x.shape[1]), []
        for start in range(0, batch, size):
            chosen = [min(start + i, batch - 1) for i in range(size)]
            part = {path: value[:, chosen] for path, value in given.items()}
            traces.append(self._run(x[:, chosen], record, part))
        return Trace(
            output=torch.cat([trace.output for trace in traces], 1)[:, :batch],
            records={
                path: torch.cat([trace.records[path] for trace in traces], 1)[:, :batch]
                for path in traces[0].records
            },
        )

    def _run(self, x: torch.Tensor, record: bool, forced: Mapping[str, torch.Tensor]) -> Trace:
        steps, batch = int(x.shape[0]), int(x.shape[1])
        module = fresh_copy(self._module)
        seen: dict[str, list[torch.Tensor]] = {}
        calling = self._calling
        given = {
            path: (value.transpose(0, 1) if path in calling.by_sample else value).flatten(0, 1)
            for path, value in forced.items()
        }
        watched = (*calling.layers, *calling.outputs) if record or forced else calling.outputs
        with _watching(module, dict.fromkeys(watched), seen, given), alone(module):
            results = self._results(module, x)
        found = {}
        for path, parts in seen.items():
            flat = torch.cat([t.reshape(-1, *self._shapes[path]) for t in parts])
            lead = (batch, steps) if path in calling.by_sample else (steps, batch)
            wide = flat.reshape(*lead, *self._shapes[path])
            found[path] = wide.transpose(0, 1) if path in calling.by_sample else wide
        return Trace(
            output=self._output(results, found, forced, steps),
            records={path: found[path] for path in calling.layers} if record else {},
        )

    def _results(self, module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
        time = self._calling.time
        if time == "steps":
            results, state = [], ()
            for part in x:
                result = module(part, *state)
                state = tuple(result[1:]) if self._calling.carries else ()
                results.append(_first(result))
            return results
        if time == "repeats":
            x = x[0]
        elif time != "sequence":
            x = x.transpose(0, 1)
        return [_first(module(x.flatten(0, 1) if time == "rows" else x))]

    def _check(self, x: torch.Tensor) -> None:
        own = self._calling.timesteps
        if own is not None and own != x.shape[0]:
            raise ConfigError(f"The module runs {own} steps by itself; the data have {x.shape[0]}.")
        if self._calling.time == "repeats" and not bool((x == x[:1]).all()):
            raise ConfigError(
                "The module repeats its input over time, but the data change from step to step.",
                hint="Let its forward take one frame, or the whole sequence [T, B, ...].",
            )

    def _output(
        self,
        results: list[torch.Tensor],
        found: Mapping[str, torch.Tensor],
        forced: Mapping[str, torch.Tensor],
        steps: int,
    ) -> torch.Tensor:
        if self._calling.result == "steps":
            return (
                torch.stack(results) if self._calling.time == "steps" else self._laid_out(results[0], steps)
            )
        terms = [
            forced[path].reshape(found[path].shape) if path in forced else found[path]
            for path in self._calling.outputs
        ]
        output = torch.stack(terms).sum(0) if len(terms) > 1 else terms[0]
        reduced = {"mean": output.mean(0), "sum": output.sum(0), "last": output[-1]}[self._calling.result]
        apart = float((reduced - results[0]).abs().max())
        if not apart <= TOLERANCE * max(1.0, float(results[0].abs().max())):
            raise ParityError(
                f"The module does not return the {self._calling.result} of what its last layers give over "
                f"{steps} steps: they are {apart:g} apart.",
                hint="Return the output of every step, [T, B, ...].",
            )
        return output

    def _laid_out(self, result: torch.Tensor, steps: int) -> torch.Tensor:
        """``[T, B, ...]`` of all steps as the module lays them out."""
        layout = self._calling.layout
        if layout in ("folded", "rows"):
            lead = (steps, -1) if layout == "folded" else (-1, steps)
            result = result.reshape(*lead, *result.shape[1:])
        return result if layout in ("sequence", "folded") else result.transpose(0, 1)


def _first(result: Any) -> torch.Tensor:
    """The output among what a module returns; steps in a list are stacked."""
    while not isinstance(result, torch.Tensor):
        result = result[0]
    return result


Hook = Callable[[nn.Module, Any, Any], Any]


@contextmanager
def _watching(
    module: nn.Module,
    paths: Mapping[str, None],
    seen: dict[str, list[torch.Tensor]],
    forced: Mapping[str, torch.Tensor],
) -> Iterator[None]:
    """Hooks that keep what the modules at ``paths`` give, and put ``forced [T B, *shape]`` in its place."""
    hooks = [module.get_submodule(p).register_forward_hook(_hook(p, seen, forced.get(p))) for p in paths]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _hook(path: str, seen: dict[str, list[torch.Tensor]], forced: torch.Tensor | None) -> Hook:
    done = 0

    def watch(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal done
        several = not isinstance(output, torch.Tensor)
        value = output[0] if several else output
        seen.setdefault(path, []).append(value.clone())
        if forced is None:
            return None
        size = value.numel() // forced[0].numel()
        part, done = forced[done : done + size].reshape(value.shape), done + size
        return (part, *output[1:]) if several else part

    return watch
