"""The scan of :mod:`~snn_deploy.distill.neurons.dynamics` as kernels of a GPU, in Triton.

One program computes ``BLOCK`` neurons over up to ``STEPS`` steps with the membrane in registers. Only ``x``
is read again in the backward pass, and ``h`` is computed from it anew: of bfloat16, 4 bytes an element are
moved forwards and 6 backwards. Longer sequences run in parts, between which the membrane is kept.

The forward pass divides as IEEE says and fuses no multiplication with an addition, so that spikes are those
of the CPU.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, assignment"

from __future__ import annotations

import triton
import triton.language as tl

STEPS = 16
"""Steps of one part: their membranes are held in registers."""
BLOCK = 512

ATAN = tl.constexpr(0)
SIGMOID = tl.constexpr(1)
TRIANGLE = tl.constexpr(2)


@triton.jit
def _charge(x, v, q, tau, rest, LEAK: tl.constexpr, DECAY_INPUT: tl.constexpr):
    """``h``; ``LEAK`` is 0 for none, 1 for ``tau``, 2 for ``q``."""
    if LEAK == 0:
        h = v + x
    elif DECAY_INPUT:
        moved = x - (v - rest)
        h = (moved * q if LEAK == 2 else tl.div_rn(moved, tau)) + v
    else:
        above = v - rest
        h = v - (above * q if LEAK == 2 else tl.div_rn(above, tau)) + x
    return h


@triton.jit
def _reset(h, threshold, rest, SOFT: tl.constexpr):
    return tl.where(h >= threshold, h - threshold if SOFT else rest, h)


@triton.jit
def _slope(d, alpha, SLOPE: tl.constexpr):
    """``sigma'(d)``."""
    if SLOPE == ATAN:
        scaled = 1.5707963267948966 * alpha * d
        slope = alpha / 2 / (1 + scaled * scaled)
    elif SLOPE == SIGMOID:
        s = tl.sigmoid(alpha * tl.abs(d))  # symmetric, and of no large exponential
        slope = alpha * s * (1 - s)
    elif SLOPE == TRIANGLE:
        slope = tl.maximum(alpha - alpha * alpha * tl.abs(d), 0.0)
    else:
        slope = tl.where(tl.abs(d) < 0.5 / alpha, alpha, 0.0)
    return slope


@triton.jit
def forward(
    x_ptr,
    before_ptr,
    q_ptr,
    spikes_ptr,
    after_ptr,
    neurons,
    tau,
    threshold,
    rest,
    T: tl.constexpr,
    LEAK: tl.constexpr,
    DECAY_INPUT: tl.constexpr,
    SOFT: tl.constexpr,
    FIRST: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Spikes of ``T`` steps of ``x [T, neurons]``, from ``before`` (from rest in the ``FIRST`` part); the
    membrane ``after`` them, but for the ``LAST`` part."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < neurons
    q = tl.load(q_ptr) if LEAK == 2 else 0.0
    v = (
        tl.full([BLOCK], 0.0, tl.float32) + rest
        if FIRST
        else tl.load(before_ptr + place, mask=inside, other=0.0)
    )
    for _ in tl.static_range(T):
        x = tl.load(x_ptr + place, mask=inside, other=0.0).to(tl.float32)
        h = _charge(x, v, q, tau, rest, LEAK, DECAY_INPUT)
        spikes = tl.where(h >= threshold, 1.0, 0.0)
        tl.store(spikes_ptr + place, spikes.to(spikes_ptr.dtype.element_ty), mask=inside)
        v = _reset(h, threshold, rest, SOFT)
        x_ptr += neurons
        spikes_ptr += neurons
    if not LAST:
        tl.store(after_ptr + place, v, mask=inside)


@triton.jit
def backward(
    x_ptr,
    before_ptr,
    q_ptr,
    g_ptr,
    gx_ptr,
    later_ptr,
    gq_ptr,
    neurons,
    tau,
    threshold,
    rest,
    alpha,
    T: tl.constexpr,
    LEAK: tl.constexpr,
    DECAY_INPUT: tl.constexpr,
    SOFT: tl.constexpr,
    DETACH: tl.constexpr,
    SLOPE: tl.constexpr,
    FIRST: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """``dL/dx`` of the same steps; ``later`` holds ``dL/dv`` after them (0 in the ``LAST`` part) and is given
    that before them; ``gq [programs]`` is what each program adds to ``dL/dq``."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < neurons
    q = tl.load(q_ptr) if LEAK == 2 else 0.0
    v = (
        tl.full([BLOCK], 0.0, tl.float32) + rest
        if FIRST
        else tl.load(before_ptr + place, mask=inside, other=0.0)
    )
    membranes = ()
    moved = ()
    for t in tl.static_range(T):
        x = tl.load(x_ptr + t * neurons + place, mask=inside, other=0.0).to(tl.float32)
        if LEAK == 2:
            moved = moved + ((x if DECAY_INPUT else 0.0) - (v - rest),)  # noqa: RUF005 - Triton's language
        h = _charge(x, v, q, tau, rest, LEAK, DECAY_INPUT)
        membranes = membranes + (h,)  # noqa: RUF005
        v = _reset(h, threshold, rest, SOFT)
    later = tl.full([BLOCK], 0.0, tl.float32) if LAST else tl.load(later_ptr + place, mask=inside, other=0.0)
    total = tl.full([BLOCK], 0.0, tl.float32)
    for t in tl.static_range(T - 1, -1, -1):
        h = membranes[t]
        arriving = tl.load(g_ptr + t * neurons + place, mask=inside, other=0.0).to(tl.float32)
        if not DETACH:
            arriving += later * (-threshold if SOFT else rest - h)
        kept = later if SOFT else tl.where(h >= threshold, 0.0, later)
        gh = _slope(h - threshold, alpha, SLOPE) * arriving + kept
        if LEAK == 2:
            total += gh * moved[t]
        if LEAK == 0:
            gx = gh
            later = gh
        else:
            share = q if LEAK == 2 else 1 / tau
            gx = gh * share if DECAY_INPUT else gh
            later = gh * (1 - share)
        tl.store(gx_ptr + t * neurons + place, gx.to(gx_ptr.dtype.element_ty), mask=inside)
    if not FIRST:
        tl.store(later_ptr + place, later, mask=inside)
    if LEAK == 2:
        tl.store(gq_ptr + tl.program_id(0), tl.sum(tl.where(inside, total, 0.0), 0))
