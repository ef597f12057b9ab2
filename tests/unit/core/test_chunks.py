"""Chunks cover everything once, shrink when memory ends, and say when one sample is too much."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from snn_deploy.core import chunks, memory
from snn_deploy.core.chunks import in_chunks, is_allocation_failure, samples_at_once
from snn_deploy.core.errors import OutOfMemoryError


def limited(most: int, error: Exception | None = None):
    """Refuses more than ``most`` elements at once; remembers what was asked for."""
    asked = []

    def compute(part: slice) -> list[int]:
        asked.append(part.stop - part.start)
        if part.stop - part.start > most:
            raise error or MemoryError
        return list(range(part.start, part.stop))

    return compute, asked


@pytest.mark.parametrize("total", [1, 7, 64])
@pytest.mark.parametrize("size", [1, 3, 64, 1000])
@pytest.mark.parametrize("most", [1, 2, 5, 1000])
def test_every_element_once_in_order(total, size, most):
    compute, _ = limited(most)
    found = list(in_chunks(total, size, compute))
    assert [i for _, result in found for i in result] == list(range(total))
    assert all(result == list(range(part.start, part.stop)) for part, result in found)


def test_a_failed_part_is_halved_and_later_ones_stay_small():
    compute, asked = limited(3)
    list(in_chunks(10, 10, compute))
    assert asked == [10, 5, 3, 3, 3, 1]


def test_nothing_to_do():
    assert list(in_chunks(0, 4, lambda part: part)) == []


def test_one_element_that_does_not_fit_is_named():
    compute, asked = limited(0, MemoryError("Unable to allocate 8.00 GiB"))
    with pytest.raises(OutOfMemoryError, match=r"single sample: Unable to allocate 8\.00 GiB") as failed:
        list(in_chunks(8, 4, compute))
    assert asked == [4, 2, 1]
    assert failed.value.exit_code == 9
    assert memory.BUDGET_VARIABLE in str(failed.value)


def test_other_errors_pass():
    compute, asked = limited(1, ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        list(in_chunks(8, 4, compute))
    assert asked == [4]


def test_a_failed_attempt_leaves_no_memory_behind():
    held: list[weakref.ref[torch.Tensor]] = []

    def compute(part: slice) -> int:
        block = torch.zeros(part.stop - part.start)
        gc.collect(0)
        assert all(ref() is None for ref in held)
        held.append(weakref.ref(block))
        if len(block) > 2:
            raise MemoryError
        return len(block)

    assert sum(n for _, n in in_chunks(8, 8, compute)) == 8


def test_real_failures_are_recognised():
    huge = 1 << 50
    for allocate in (lambda: np.zeros(huge), lambda: torch.zeros(huge), lambda: bytearray(huge)):
        with pytest.raises((MemoryError, RuntimeError)) as failed:
            allocate()
        assert is_allocation_failure(failed.value)
    assert not is_allocation_failure(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_onnx_runtime_failures_are_recognised():
    onnx, ort = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    make, kinds = onnx.helper, onnx.TensorProto
    shape = make.make_tensor_value_info("shape", kinds.INT64, [1])
    filled = make.make_tensor_value_info("y", kinds.FLOAT, ["n"])
    graph = make.make_graph([make.make_node("ConstantOfShape", ["shape"], ["y"])], "huge", [shape], [filled])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    quiet = ort.SessionOptions()
    quiet.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), quiet, providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match="allocate") as failed:
        session.run(None, {"shape": np.array([1 << 50])})
    assert is_allocation_failure(failed.value)


@pytest.mark.parametrize(("each", "at_most", "expected"), [(10, None, 10), (10, 4, 4), (1000, None, 1)])
def test_as_many_as_the_budget_holds(monkeypatch, each, at_most, expected):
    monkeypatch.setattr(chunks, "budget", lambda: 100)
    assert samples_at_once(each, at_most) == expected
