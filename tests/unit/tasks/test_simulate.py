"""A simulation divided among processes against the same in one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from support.lava_nets import random_input, random_net
from support.processes import finish, start

from snn_deploy.graph.lava.io import write_net

SIMULATE = "from snn_deploy.cli.main import run; import sys; run(['simulate', *sys.argv[1:], '--json'])"


def test_two_processes_simulate_what_one_does(tmp_path: Path) -> None:
    """202 samples are four parts; in real numbers some spikes differ from those in fixed point."""
    net = random_net(2)
    write_net(net, tmp_path / "foreign.net")
    x = random_input(net, 2, 20, 202).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(202) % 3)
    arguments = [str(tmp_path / "foreign.net"), "--data", str(tmp_path / "data.npz")]
    arguments += ["--backend", "reference", "--samples", "all"]
    ((code, one, text),) = finish(start(["-c", SIMULATE, *arguments], 1, tmp_path))
    assert code == 0, text
    (code, first, text), (other, second, more) = finish(start(["-c", SIMULATE, *arguments], 2, tmp_path))
    assert (code, other) == (0, 0), text + more
    assert second == ""
    expected = json.loads(one)
    assert json.loads(first) == expected
    assert expected["samples"] == 202
    assert any(layer["first"] for layer in expected["layers"])
