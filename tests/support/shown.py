"""Reports with everything to look at: a network, its decisions, and recorded samples."""

from __future__ import annotations

import nir
import numpy as np
import torch

from snn_deploy.graph.plan import make_plan
from snn_deploy.report import assemble
from snn_deploy.report.model import ReportData
from snn_deploy.report.network import network_nodes
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.decisions import decisions
from snn_deploy.tasks.recording import record
from support.graphs import conv, graph, lif
from support.reports import bundle_report, digits_plan, parity_rows

FAILED = "features.1.neuron"


def seen_report(**changes) -> ReportData:
    """The report of a bundle whose ONNX file fails in its second layer, on the network of ``digits_plan``."""
    plan = digits_plan()
    generator = torch.Generator().manual_seed(1)
    x = torch.poisson(torch.full((8, 12, 2, 16, 16), 0.2), generator=generator)
    labels = torch.arange(12) % 10
    wanted = {FAILED: [1404]}
    decided = torch.randint(0, 10, (8, 12), generator=generator)
    decided[5:] = labels
    decided[-1, 3] = 4
    rows = parity_rows()
    broken = rows[1]["layers"][1] | {"differing": 9, "first": [2, 7, 1404]}
    rows[1] |= {"verdict": "failed", "layers": [rows[1]["layers"][0], broken], "reason": "6 spikes differ"}
    values = {
        "network": network_nodes(plan),
        "decisions": decisions(decided, labels, 10),
        "recording": record(Reference(plan), x, [7, 0, 3, 6], labels, "mean", wanted),
        "parity": bundle_report().parity[:1] + assemble.parity([rows[1]]),
    }
    return bundle_report(**values | changes)


def looped_plan():
    """Two layers with a skip around the second, and a recurrent weight on the third."""
    dense = nir.Linear(np.eye(4, dtype=np.float32))
    nodes = {f"w{i}": dense for i in (1, 2, 3)} | {f"n{i}": lif((4,)) for i in (1, 2, 3)} | {"back": dense}
    edges = [
        ("input", "w1"), ("w1", "n1"), ("n1", "w2"), ("w2", "n2"), ("n2", "w3"), ("n1", "w3"), ("w3", "n3"),
        ("n3", "back"), ("back", "n3"), ("n3", "output"),
    ]  # fmt: skip
    return make_plan(graph(nodes, edges, (4,), (4,)))


def named_blocks(name: str) -> dict:
    """The blocks of a network whose neurons have a name of strangers."""
    plan = named_plan(name)
    x = (torch.rand(4, 2, *plan.shapes[plan.input], generator=torch.Generator().manual_seed(0)) < 0.3).float()
    recording = record(Reference(plan), x, [0, 1], None, "mean", {})
    return {"network": network_nodes(plan), "recording": recording}


def named_plan(name: str):
    """One convolution whose neurons are called ``name``."""
    nodes = {"conv": conv(4, 2, 8), name: lif((4, 8, 8))}
    return make_plan(
        graph(nodes, [("input", "conv"), ("conv", name), (name, "output")], (2, 8, 8), (4, 8, 8))
    )
