from __future__ import annotations

import pytest
import torch

from snn_deploy.core.errors import ConfigError
from snn_deploy.processes.world import (
    ALONE,
    LostProcessError,
    World,
    choose_device,
    joined,
    world_of_environment,
)

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "1234",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)


def put(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> None:
    for name, value in {**TORCHRUN, **changes}.items():
        if value is not None:
            monkeypatch.setenv(name, value)


def test_without_torchrun_a_process_is_alone() -> None:
    assert world_of_environment() == ALONE
    with joined() as world:
        assert world.first
        assert world.any(True, False) == (True, False)
        assert world.told(lambda: "done") == world.in_turn(lambda: "done") == "done"
        assert world.bytes_of_first(b"abc") == b"abc"
        assert torch.equal(world.sum(torch.ones(2)), torch.ones(2))


def test_torchrun_says_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch)
    assert world_of_environment() == World(3, 4, 1, 2)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert world_of_environment() == ALONE


@pytest.mark.parametrize(
    "change", [{"LOCAL_RANK": None}, {"MASTER_PORT": None}, {"RANK": "x"}, {"RANK": "4"}, {"LOCAL_RANK": "2"}]
)
def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, change: dict[str, str | None]) -> None:
    put(monkeypatch, **change)
    with pytest.raises(ConfigError):
        world_of_environment()


def test_processes_of_a_machine_take_a_device_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto", World(3, 4, 1, 2)) == torch.device("cuda", 1)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cpu", World(3, 4, 1, 2)) == torch.device("cpu")
    with pytest.raises(ConfigError, match="2 processes cannot share 'cuda:0'"):
        choose_device("cuda:0", World(3, 4, 1, 2))
    with pytest.raises(ConfigError, match=r"3 processes on a machine with 2 CUDA device"):
        choose_device("cuda", World(0, 3, 0, 3))


def test_only_a_broken_connection_counts_as_a_lost_process() -> None:
    world = World(0, 2)
    with pytest.raises(LostProcessError, match="Process 0 of 2"), world.watched():
        raise RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer [127.0.0.1]")
    with pytest.raises(RuntimeError, match="out of memory"), world.watched():
        raise RuntimeError("out of memory")
    with pytest.raises(RuntimeError, match="Connection"), ALONE.watched():
        raise RuntimeError("Connection closed by peer")
