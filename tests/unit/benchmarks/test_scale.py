"""Figures of the benchmarks of scale: what is counted without numbers, and exponents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.benchmarks import imported

from snn_deploy.graph.plan import make_plan
from snn_deploy.simulate.reference import Reference


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    with imported(scale="scale", scaling="scaling") as scripts:
        yield scripts


def test_operations_and_bytes_of_a_product_and_a_sum(bench: SimpleNamespace) -> None:
    """[3, 5] x [5, 7]: 2 x 3 x 5 x 7 operations; both factors and the product are touched once, 4 bytes each;
    a sum with a row that stands for three reads the row once."""
    with torch.device("meta"):
        a, b, row = torch.empty(3, 5), torch.empty(5, 7), torch.empty(1, 7)
        product = bench.scale.counted(lambda: a @ b)
        total = bench.scale.counted(lambda: torch.empty(3, 7) + row.expand(3, 7))
    assert product == (210, 4 * (15 + 35 + 21))
    assert total == (0, 4 * (21 + 7 + 21))


def test_made_files_have_the_size_that_is_asked_for(bench: SimpleNamespace, tmp_path: Path) -> None:
    bench.scale.make_photograph(file := tmp_path / "a.jpg", 200, 150, 16_000, 0)
    assert 12_000 < file.stat().st_size <= 16_000


def test_exponents_are_those_of_the_powers(bench: SimpleNamespace) -> None:
    sizes = (1, 4, 16)
    assert bench.scaling.slope(sizes, [3 * size**2 for size in sizes]) == pytest.approx(2)
    assert bench.scaling.slope(sizes, [0.5] * 3) == pytest.approx(0)


def test_every_layer_of_the_chain_fires_in_every_step(bench: SimpleNamespace) -> None:
    """Otherwise deep and long runs would cost less than their size says."""
    size = bench.scaling.Size(samples=4, steps=3, depth=32, width=8)
    plan = make_plan(bench.scaling.make_graph(size))
    x = (torch.rand(3, 4, 2, 12, 12, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    records = Reference(plan).run(x, record=True).records
    rates = [records[f"lif{layer}"].mean((1, 2, 3, 4)) for layer in range(size.depth)]
    assert all(0.02 < float(rate) < 0.4 for rates_t in rates for rate in rates_t)
