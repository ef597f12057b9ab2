"""Weights that are lost are found in one look."""

from __future__ import annotations

import pytest
import torch

from snn_deploy.core.errors import DivergedError
from snn_deploy.distill.divergence import check_weights


def weights(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"a": torch.ones(2, 3), "steps": torch.tensor(7), "b": torch.zeros(()), **more}


def test_finite_weights_pass() -> None:
    check_weights("student", 3, weights(large=torch.tensor([3e38, -3e38])))
    check_weights("student", 3, {"steps": torch.tensor(7)})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_lost_weights_are_named(bad: float) -> None:
    lost = torch.tensor([1.0, bad, 2.0])
    with pytest.raises(DivergedError, match=r"not finite after step 3: c and 1 more\."):
        check_weights("student", 3, weights(c=lost, d=lost[1:]))
