"""The processes that work on one job together, as ``torchrun`` starts them.

Every process runs the same program; ``RANK`` (0 for the first), ``WORLD_SIZE``, ``LOCAL_RANK``,
``LOCAL_WORLD_SIZE``, ``MASTER_ADDR`` and ``MASTER_PORT`` say which one it is and where the others are. Only
the first process reads and writes the files of a run; the others are told. Tensors on the CPU travel by gloo,
those on CUDA devices by NCCL.
"""

from __future__ import annotations

import contextlib
import datetime
import gc
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed

from snn_deploy.core import errors
from snn_deploy.core.errors import ConfigError, InterruptedRunError, SnnDeployError

PATIENCE = datetime.timedelta(hours=6)
"""How long a process waits for one that is alive but busy, with reading data for example. Ours."""

_BROKEN = ("gloo", "nccl", "connection", "peer", "socket", "broken pipe")


class LostProcessError(InterruptedRunError):
    """Another process of the job ended; the run can be resumed (exit 75)."""

    alone = True


@dataclass(frozen=True, slots=True)
class World:
    """Which process this is: ``rank`` of ``size``, ``local_rank`` of ``local_size`` on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process reads and writes files."""
        return self.rank == 0

    @property
    def cores(self) -> int:
        """Cores of this machine for each of its processes, one at least."""
        return cores_each(self.local_size)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum of the tensors ``values`` of all processes; they have the same shape."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        distributed.all_reduce(total)
        return total

    def max(self, values: torch.Tensor) -> torch.Tensor:
        """Largest of the tensors ``values`` of all processes, element by element."""
        if self.size == 1:
            return values
        largest = values.detach().clone()
        distributed.all_reduce(largest, distributed.ReduceOp.MAX)
        return largest

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether it is set in some process."""
        if self.size == 1:
            return flags
        return tuple(bool(flag) for flag in self.max(torch.tensor(flags, dtype=torch.uint8)).tolist())

    def level(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give ``tensors`` the values they have in the first process."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), 0)

    def bytes_of_first(self, data: bytes | None) -> bytes | None:
        """``data`` of the first process, in all of them."""
        if self.size == 1:
            return data
        length = torch.tensor([-1 if data is None else len(data)])
        distributed.broadcast(length, 0)
        if (count := int(length)) < 0:
            return None
        content = torch.empty(count, dtype=torch.uint8)
        if self.first and data:
            content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        distributed.broadcast(content, 0)
        return content.numpy().tobytes()

    def told(self, do: Callable[[], Any]) -> Any:
        """Let the first process ``do`` something while the others wait; its result (JSON-ready), or its
        error, in all of them.

        Raises:
            SnnDeployError: what the first process raised, of the same class.
        """
        if self.size == 1:
            return do()
        failure: BaseException | None = None
        answer: dict[str, Any] = {}
        if self.first:
            try:
                answer = {"result": do()}
            except BaseException as error:  # noqa: BLE001 - whatever it is, the others must not wait for ever
                failure, answer = error, {"error": _described(error)}
        answer = json.loads(self.bytes_of_first(json.dumps(answer).encode()) or b"{}")
        if failure is not None:
            raise failure
        if "error" in answer:
            raise _rebuilt(answer["error"])
        return answer["result"]

    def in_turn(self, do: Callable[[], Any]) -> Any:
        """``do`` in the first process of each machine, then in the others, who find what it made."""
        if self.size == 1:
            return do()
        done: list[Any] = []
        error: BaseException | None = None
        for turn in (True, False):
            if error is None and (self.local_rank == 0) is turn:
                try:
                    done.append(do())
                except BaseException as raised:  # noqa: BLE001 - raised below, once the others know
                    error = raised
            failed = self.any(error is not None)[0]
            if failed:
                break
        if isinstance(error, SnnDeployError):
            error.alone = True
        if error is not None:
            raise error
        if failed:
            raise SnnDeployError("Another process of this job could not go on; see its message.")
        return done[0]

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Turn a broken connection into a :class:`LostProcessError` that says what to do."""
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not any(word in str(error).lower() for word in _BROKEN):
                raise
            raise LostProcessError(
                f"Process {self.rank} of {self.size}: another process of this run has ended or cannot be "
                "reached. Nothing is lost beyond the last checkpoint.",
                hint="Start the same command again with --resume; the number of processes may be another.",
            ) from error


ALONE = World()


def cores_each(processes: int) -> int:
    """Cores of this machine for each of ``processes`` on it, one at least."""
    return max(1, (os.cpu_count() or 1) // processes)


def _described(error: BaseException) -> dict[str, Any]:
    if not isinstance(error, SnnDeployError):
        return {"class": "SnnDeployError", "message": f"{type(error).__name__}: {error}", "hint": None}
    return {"class": type(error).__name__, "message": error.message, "hint": error.hint}


def _rebuilt(described: dict[str, Any]) -> SnnDeployError:
    kind = getattr(errors, described["class"], SnnDeployError)
    error: SnnDeployError = kind(described["message"], hint=described["hint"])
    return error


def world_of_environment() -> World:
    """What the variables of ``torchrun`` say; :data:`ALONE` without them.

    Raises:
        ConfigError: they are incomplete or contradict each other.
    """
    if "RANK" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        return ALONE
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    given = {name: os.environ.get(name, "") for name in names}
    if not all(value.isdigit() for value in given.values()) or not {"MASTER_ADDR", "MASTER_PORT"} <= {
        *os.environ
    }:
        raise ConfigError(
            "RANK and WORLD_SIZE are set, but not all that a process of a group must know: "
            f"{', '.join((*names, 'MASTER_ADDR', 'MASTER_PORT'))}.",
            hint="Start with: torchrun --nproc-per-node N -m snn_deploy ...",
        )
    rank, size, local_rank, local_size = (int(value) for value in given.values())
    if not (rank < size and local_rank < local_size <= size):
        raise ConfigError(f"Process {rank} of {size}, locally {local_rank} of {local_size}, cannot be.")
    return World(rank, size, local_rank, local_size)


def choose_device(name: str, world: World = ALONE) -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; processes of one machine take a CUDA
    device each, in order.

    Raises:
        ConfigError: no such device here, or fewer than processes.
    """
    kind, _, number = name.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind not in {"cpu", "cuda"} or (number and not number.isdigit()):
        raise ConfigError(f"Unknown device '{name}'.", hint="Known: auto, cpu, cuda, cuda:N")
    if kind == "cpu":
        return torch.device("cpu")
    if number and world.local_size > 1:
        raise ConfigError(
            f"{world.local_size} processes cannot share '{name}'.",
            hint="Use --device cuda: each takes its own.",
        )
    if int(number or 0) >= torch.cuda.device_count():
        raise ConfigError(f"There is no CUDA device '{name}' here.", hint="Use --device cpu.")
    if world.local_size > torch.cuda.device_count():
        raise ConfigError(
            f"{world.local_size} processes on a machine with {torch.cuda.device_count()} CUDA device(s).",
            hint=f"Use --nproc-per-node {torch.cuda.device_count()}, or --device cpu.",
        )
    if world.local_size > 1:
        return torch.device("cuda", world.local_rank)
    return torch.device(name if number else "cuda")


@contextlib.contextmanager
def joined(device: str = "cpu") -> Iterator[World]:
    """Join the other processes, if there are any, for as long as the context is open.

    Raises:
        ConfigError: see :func:`world_of_environment` and :func:`choose_device`.
        LostProcessError: another process ended.
    """
    world = world_of_environment()
    if world.size == 1 or distributed.is_initialized():
        yield world
        return
    where = choose_device(device, world)
    if where.type == "cuda":
        torch.cuda.set_device(where)
    backend = "cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo"
    with world.watched():
        distributed.init_process_group(backend, timeout=PATIENCE)
        yield world
        distributed.barrier()
        gc.collect()  # what still holds the group would keep its threads running into the end of the process
        distributed.destroy_process_group()
