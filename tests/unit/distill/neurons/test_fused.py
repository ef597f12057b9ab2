"""The Triton kernels under Triton's interpreter (``TRITON_INTERPRET=1``), against neurons written out."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.neurons import answers, apart, batch, options

from snn_deploy.distill.neurons.dynamics import dynamics_of
from snn_deploy.distill.neurons.written_out import written_out
from snn_deploy.distill.step import channels_last
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import NeuronOptions

pytest.importorskip("triton", reason="the CUDA build of torch has Triton; see `make test-cuda-fake`")
if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1; see `make test-cuda-fake`", allow_module_level=True)

from snn_deploy.distill.neurons.fused import fused

BOUNDS = {torch.float32: 1e-5, torch.bfloat16: 2**-7}
"""Of the norm of a gradient, that of the differences. The interpreter cuts bfloat16 off where a GPU rounds,
by up to one place of its 8 bits."""


@settings(deadline=None, max_examples=60)
@given(
    options=options(),
    steps=st.sampled_from([1, 2, 4, 16, 17, 40]),
    seed=st.integers(0, 10_000),
    dtype=st.sampled_from(list(BOUNDS)),
    last=st.booleans(),
)
def test_equals_written_out(options: NeuronOptions, steps: int, seed: int, dtype: torch.dtype, last: bool):
    node = make_neuron(options)
    x, weight = (v.to(dtype) for v in batch(steps, seed, 2, 3, 9, 11))
    if last:
        x = channels_last(x)
    own, reference = (answers(node, scan, x, weight) for scan in (fused, written_out))
    assert own[0].stride() == x.stride()
    assert torch.equal(own[0], reference[0])
    assert apart(own[1], reference[1]) < BOUNDS[dtype]
    assert apart(own[2], reference[2]) < BOUNDS[dtype]


def test_inputs_that_are_repeated_over_time():
    node = make_neuron(NeuronOptions())
    x, _ = batch(1, 3, 700)
    own, reference = (scan(x.expand(5, 700), None, dynamics_of(node)) for scan in (fused, written_out))
    assert torch.equal(own, reference)
