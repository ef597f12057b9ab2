"""The bytes foreseen for a trace are those that a recorded run keeps."""

from __future__ import annotations

import pytest
from support.random_graphs import exact_case

from snn_deploy.simulate.footprint import trace_bytes
from snn_deploy.simulate.reference import Reference


@pytest.mark.parametrize("seed", range(8))
def test_as_many_bytes_as_a_recorded_run_keeps(seed):
    case = exact_case(seed)
    reference = Reference(case.graph)
    trace = reference.run(case.x, record=True)
    steps, batch = case.x.shape[:2]
    kept = {id(y): y.nbytes for y in (trace.output, *trace.records.values())}
    assert trace_bytes(reference.plan, steps) * batch == sum(kept.values())
