"""A report as a real bundle would give it: real counting and pricing of made-up spikes."""

from __future__ import annotations

import io
from functools import cache
from itertools import pairwise

import nir
import numpy as np
import torch
from rich.console import Console

from snn_deploy.energy.count import count
from snn_deploy.energy.price import price
from snn_deploy.graph.plan import make_plan
from snn_deploy.hardware.profile import load_profile
from snn_deploy.report import assemble
from snn_deploy.report.model import Accuracy, Header, ReportData
from snn_deploy.report.terminal import summary
from support.counts import counts as made_counts
from support.counts import edge, neurons
from support.graphs import conv, graph, lif, spike_trace

LAYERS = ("features.0.neuron", "features.1.neuron", "features.2.neuron", "classifier.neuron")
HOSTILE = "<script>alert('x')</script>\"'&{{ 7*7 }}"
PROFILES = ("horowitz-45nm-fp32", "loihi1-davies", "truenorth-0.8v", "loihi2")


@cache
def digits_plan():
    """Three convolutions, an average pool and a read-out on 2 x 16 x 16 event frames."""
    nodes = {
        "features.0.conv": conv(16, 2, 16),
        LAYERS[0]: lif((16, 16, 16)),
        "features.1.conv": conv(32, 16, 16, stride=2, seed=1),
        LAYERS[1]: lif((32, 8, 8)),
        "features.2.conv": conv(32, 32, 8, seed=2),
        LAYERS[2]: lif((32, 8, 8)),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flatten": nir.Flatten({"input": np.array([32, 4, 4])}, 0),
        "classifier.linear": nir.Affine(np.ones((10, 512), np.float32), np.zeros(10, np.float32)),
        LAYERS[3]: lif((10,)),
    }
    chain = ["input", *nodes, "output"]
    return make_plan(graph(nodes, list(pairwise(chain)), (2, 16, 16), (10,)))


@cache
def digits_counts(timesteps: int = 8, samples: int = 12):
    """Counts of made-up spikes on it."""
    plan = digits_plan()
    generator = torch.Generator().manual_seed(0)
    x = torch.poisson(torch.full((timesteps, samples, 2, 16, 16), 0.06), generator=generator)
    trace = spike_trace(plan, x, rate=0.1)
    for name, rate in zip(LAYERS, (0.04, 0.09, 0.06, 0.13), strict=True):
        record = trace.records[name]
        ramp = torch.linspace(0.15, 1.6, timesteps).view(-1, 1, *[1] * (record.ndim - 2))
        record.copy_((torch.rand(record.shape, generator=generator) < rate * ramp).float())
    pooled = torch.nn.functional.avg_pool2d(trace.records[LAYERS[2]].flatten(0, 1), 2)
    trace.records["pool"].copy_(pooled.unflatten(0, (timesteps, samples)))
    trace.records["flatten"].copy_(trace.records["pool"].flatten(2))
    return count(plan, trace)


def prices(counts=None, names=PROFILES):
    counts = counts or digits_counts()
    found = []
    for name in names:
        profile = load_profile(name)
        found.append(assemble.profile_price(price(counts, profile), profile))
    return tuple(found)


def parity_rows():
    def layer(name, size, **changes):
        return {
            "layer": name, "compared": size * 8 * 360, "differing": 0, "ties": 0, "after_ties": 0,
            "free_differing": 0, "first": None,
        } | changes  # fmt: skip

    sizes = (4096, 2048, 2048, 10)
    exact = [layer(name, size) for name, size in zip(LAYERS, sizes, strict=True)]
    tied = [*exact]
    tied[1] = layer(
        LAYERS[1], 2048, differing=3, ties=2, after_ties=1, free_differing=57, first=[2, 117, 1404]
    )
    drift = [
        layer(name, size, differing=size * n, free_differing=size * n * 3, first=[0, 0, n])
        for name, size, n in zip(LAYERS, sizes, (4, 31, 46, 60), strict=True)
    ]

    def check(form, runtime, verdict, layers, **changes):
        compared = sum(row["compared"] for row in layers)
        differing = sum(row["differing"] - row["ties"] - row["after_ties"] for row in layers)
        return {
            "format": form, "runtime": runtime, "reference": "network", "exact": True, "verdict": verdict,
            "reason": "", "samples": 360, "compared": compared, "differing": differing,
            "ties": sum(row["ties"] + row["after_ties"] for row in layers), "output_compared": 28800,
            "output_differing": 0, "output_max_difference": 0.0, "same_decision": 360,
            "accuracy_reference": 0.9722, "accuracy": 0.9722, "layers": layers, "agreement": 1.0,
        } | changes  # fmt: skip

    return [
        check("nir", "reference", "equal", exact),
        check("onnx (step)", "onnxruntime", "ties only", tied, reason="3 float ties, listed apart"),
        check(
            "lava", "loihi", "approximate", drift, exact=False, accuracy=0.9667, same_decision=355,
            reason="approximations are listed in the manifest",
        ),
        check("lava", "lava", "equal", exact, reference="loihi", samples=32),
        check(
            "nir", "snntorch", "not run", [], reason="snntorch is not installed", samples=0,
            same_decision=0, accuracy=None, accuracy_reference=None,
        ),
    ]  # fmt: skip


def training_records(epochs=24):
    rng = np.random.default_rng(3)
    best = 0.0
    records = [{"kind": "step", "step": 1}]
    for epoch in range(1, epochs + 1):
        progress = 1 - np.exp(-epoch / 5)
        accuracy = min(0.35 + 0.63 * progress + rng.normal() * 0.006, 0.99)
        records.append(
            {
                "kind": "epoch",
                "epoch": epoch,
                "loss": float(2.3 * np.exp(-epoch / 6) + 0.08 + rng.random() * 0.03),
                "train_accuracy": float(min(accuracy + 0.012 * progress, 1.0)),
                "validation_accuracy": float(accuracy),
                "best": accuracy > best,
            }
        )
        best = max(best, accuracy)
    return records


def bundle_report(**changes) -> ReportData:
    """A full report."""
    counts = digits_counts()
    values = {
        "header": Header(
            title="quickstart",
            kind="bundle",
            verdict="verified",
            network_digest="9f2c4d0e" * 8,
            input_shape=(2, 16, 16),
            output_shape=(10,),
            timesteps=8,
            step_seconds=0.001,
            data="digits-dvs",
            data_digest="51ab77e0" * 8,
            split="test",
            samples=360,
            samples_available=360,
            settings={
                "Method": "tser (KD with temporal-spatial entropy)",
                "Recipe": "quickstart",
                "Seed": "0",
                "Semantics": "forward Euler, fires at >=, reset to zero",
            },
            packages={"torch": "2.13.0", "spikingjelly": "2.0.0", "nir": "1.0.8", "onnxruntime": "1.31.1"},
            tool_version="0.2.0",
            created="2026-11-21T10:00:00+00:00",
        ),
        "accuracies": (
            Accuracy(
                name="teacher", role="teacher", fraction=0.9861, samples=360, note="CNN on the time mean"
            ),
            Accuracy(name="student", role="student", fraction=0.9722, samples=360, note="spiking CNN, T = 8"),
            Accuracy(name="nir in reference", role="exported", fraction=0.9722, samples=360),
            Accuracy(name="onnx in onnxruntime", role="exported", fraction=0.9722, samples=360),
            Accuracy(
                name="lava in loihi", role="exported", fraction=0.9667, samples=360, note="8-bit weights"
            ),
        ),
        "parity": assemble.parity(parity_rows()),
        "activity": assemble.activity(counts),
        "energy": prices(counts),
        "training": assemble.training(training_records()),
        "approximations": assemble.approximations(
            {
                "nir": {"approximations": []},
                "lava": {"approximations": ["weights rounded to 8 bit per layer"]},
            }
        ),
        "warnings": (
            "The data are simulated from 1,797 static digits; accuracies say nothing about N-MNIST.",
        ),
    }
    return ReportData(**values | changes)


def hostile_report() -> ReportData:
    """Every text in it tries to be something else."""
    found = made_counts(edge(HOSTILE, HOSTILE), neurons(HOSTILE))
    profile = load_profile("loihi1-davies")
    row = parity_rows()[1]
    row = row | {"layers": [{**row["layers"][1], "layer": HOSTILE}], "reason": HOSTILE}
    return ReportData(
        header=Header(title=HOSTILE, kind="nir", data=HOSTILE, settings={HOSTILE: HOSTILE}, created=HOSTILE),
        parity=assemble.parity([row]),
        activity=assemble.activity(found),
        energy=(assemble.profile_price(price(found, profile), profile),),
        approximations=assemble.approximations({HOSTILE: {"approximations": [HOSTILE]}}),
        warnings=(HOSTILE,),
    )


def terminal(data: ReportData, width: int) -> str:
    """What a terminal of this width shows."""
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(summary(data))
    return console.file.getvalue()
