"""``show FILE``: the text of a network file."""

from __future__ import annotations

import subprocess
import sys

import nir
import numpy as np
import pytest
from support.graphs import graph, lif
from support.lava_nets import KINDS, random_net

from snn_deploy.cli.main import exit_code
from snn_deploy.graph.lava.io import write_net
from snn_deploy.graph.lava.net import Cuba, Dense, Input, LavaNet, Span
from snn_deploy.graph.readers.io import write_nir
from snn_deploy.tasks.show import file_text


def test_a_nir_file(tmp_path, capsys):
    nodes = {"fc": nir.Linear(np.array([[1, 2], [3, 4]], np.float32)), "n": lif((2,))}
    net = graph(nodes, [("input", "fc"), ("fc", "n"), ("n", "output")], (2,), (2,))
    write_nir(net, tmp_path / "net.nir")
    assert exit_code(["show", str(tmp_path / "net.nir")]) == 0
    shown = capsys.readouterr().out
    assert shown == file_text(tmp_path / "net.nir")
    assert "fc: Linear (2) <- input\n    weight [[1 2] [3 4]]\nn: LIF (2) <- fc\n" in shown
    assert "assumed: dt integrator fires_at reset" in shown
    assert all(len(line) <= 110 for line in shown.splitlines())


def test_a_net_file_by_hand(tmp_path, capsys):
    neuron = Cuba.of(4096, 0, 5)
    first = Dense(np.array([[2, 4], [-2, 6], [0, 254]]), neuron, bias=np.array([1, 0, 0]))
    spans = ((Span("a", 0, 2), Span("in@a", 2, 1)),)
    net = LavaNet((Input((2,)), first), ("a+relay",), input_scale=0.5, timesteps=4, spans=spans)
    write_net(net, tmp_path / "model.net")
    assert exit_code(["show", str(tmp_path / "model.net")]) == 0
    assert capsys.readouterr().out == (
        "input: Input (2)\n"
        "    integers 0..1 times 0.5\n"
        "a+relay: Dense (3) <- input\n"
        "    weight [[2 4] [-2 6] [0 254]], bias [1 0 0], iDecay 4096, vDecay 0\n"
        "    vThMant 5\n"
        "a+relay holds a: 0..1\n"
        "a+relay holds in@a: 2..2\n"
        "read as spikes, decode mean, 4 steps\n"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_random_net_files_have_one_text(kind, tmp_path):
    for seed in range(4):
        net = random_net(seed, kind)
        write_net(net, tmp_path / "model.net")
        text = file_text(tmp_path / "model.net")
        assert text == file_text(tmp_path / "model.net")
        assert all(f"{name}: " in text for name in net.names)


def test_names_of_strangers_are_shown_with_escapes(tmp_path, capsys):
    neuron = Cuba.of(4096, 0, 5)
    net = LavaNet((Input((2,)), Dense(np.array([[2, 4]]), neuron)), ("a\x1b[2J\nb",))
    write_net(net, tmp_path / "model.net")
    assert exit_code(["show", str(tmp_path / "model.net")]) == 0
    assert "a\\x1b[2J\\nb: Dense (1) <- input\n" in capsys.readouterr().out


def test_a_missing_file_is_said(tmp_path, capsys):
    assert exit_code(["show", str(tmp_path / "none.nir")]) == 7
    assert "none.nir" in capsys.readouterr().err


def test_torch_is_not_needed():
    code = "import sys, snn_deploy.tasks.show; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
