"""Networks and weights of a user's own: torch modules, ``.pt`` and ``.safetensors`` files.

``.pt`` files are read with ``weights_only``: they can hold tensors and plain values, and run no code. Weights
may lie in a mapping under ``model``, ``state_dict``, ``model_state_dict`` or ``net``, and their names may
begin with ``module.`` (DataParallel) or ``_orig_mod.`` (torch.compile).
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from snn_deploy.core.errors import ConfigError, DataError, Problem, did_you_mean

WRAPPERS = ("model", "state_dict", "model_state_dict", "net")
PREFIXES = ("module.", "_orig_mod.")
_COUNTER = ".num_batches_tracked"


def as_module(made: Any, what: str) -> nn.Module:
    """``made``, which must be a torch module.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(made, nn.Module):
        raise ConfigError(
            f"{what} gives a {type(made).__name__}, not a torch module.",
            hint="Name a class derived from nn.Module, or a function that returns a module.",
        )
    return made


def put_weights(module: nn.Module, path: Path) -> None:
    """Load the weights in ``path`` into ``module``; names and shapes must all agree.

    Only batch norm's counters of batches may be absent.

    Raises:
        DataError: the file is missing, damaged, or of another network; every fault is listed.
    """
    wanted, given = module.state_dict(), _plain_names(read_weights(path))
    counters = {name: tensor for name, tensor in wanted.items() if name.endswith(_COUNTER)}
    given = {**counters, **given}
    if problems := _faults(wanted, given):
        raise DataError(
            f"The weights in '{path}' do not fit '{type(module).__name__}'.",
            problems=problems,
            hint="Give the constructor the arguments that it had in training: --arg KEY=VALUE",
        )
    module.load_state_dict(given)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a ``.pt``, ``.pth``, ``.ckpt`` or ``.safetensors`` file; see the module's text.

    Raises:
        DataError: the file is missing or damaged, or holds no state dict.
    """
    if not path.is_file():
        raise DataError(f"There is no weights file '{path}'.")
    if path.suffix == ".safetensors":
        try:
            loaded: dict[str, torch.Tensor] = safetensors.torch.load_file(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise DataError(f"'{path}' is not a readable safetensors file: {error}") from None
        return loaded
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise DataError(
            f"'{path}' holds more than tensors and plain values, which only code could read.",
            hint="Save the weights alone: torch.save(net.state_dict(), 'net.pt')",
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"'{path}' is not a readable file of torch: {reason}") from None
    for name in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    known = content if isinstance(content, Mapping) else {}
    if not known or not all(isinstance(tensor, torch.Tensor) for tensor in known.values()):
        names = ", ".join(map(str, list(known)[:5]))
        raise DataError(
            f"'{path}' holds no state dict, but a {type(content).__name__}"
            + (f" of {names}." if names else "."),
            hint=f"A state dict, or a mapping with one under: {', '.join(WRAPPERS)}",
        )
    return dict(known)


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of the names, kinds, shapes and values of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _plain_names(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    plain = dict(weights)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in plain):
            plain = {name.removeprefix(prefix): tensor for name, tensor in plain.items()}
    return plain


def _faults(wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> list[Problem]:
    missing = [name for name in wanted if name not in given]
    strange = [name for name in given if name not in wanted]
    problems = [Problem(n, f"missing in the file.{did_you_mean(n, strange)}") for n in missing]
    problems += [Problem(n, f"not part of the network.{did_you_mean(n, missing)}") for n in strange]
    for name in wanted:
        if name in given and given[name].shape != wanted[name].shape:
            found, due = tuple(given[name].shape), tuple(wanted[name].shape)
            problems.append(Problem(name, f"has shape {found}", f"the network's is {due}"))
    return problems
