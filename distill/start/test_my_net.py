"""Run with: python -m pytest"""

from __future__ import annotations

import numpy as np
from my_data import load
from my_net import Student

import snn_deploy as sd

TIMESTEPS = 4


def test_the_graph_computes_what_the_student_computes(tmp_path):
    """Spike by spike, in every layer."""
    images, labels = load(16)
    np.savez(tmp_path / "x.npz", x=np.stack([images.numpy()] * TIMESTEPS), y=labels.numpy())
    net = Student(in_shape=(1, 8, 8), classes=4)
    found = sd.simulate_network(net, "reference", data=str(tmp_path / "x.npz"))
    assert found.spikes_differing == 0
