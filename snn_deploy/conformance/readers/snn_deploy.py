"""Our own reader: the plan of the file, and the reference simulator."""

import torch

from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.timing import Reading
from snn_deploy.simulate.reference import Reference

PACKAGES = ("snn-deploy", "nir")


def run(path, x, dt):
    """Outputs ``[T, B, ...]``."""
    plan, _ = read_plan(path, Reading(dt=dt))
    return Reference(plan).run(torch.from_numpy(x)).output.numpy()
