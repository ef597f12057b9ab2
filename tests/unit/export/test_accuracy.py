"""What a run recorded of its student, against what an export sees."""

from __future__ import annotations

from typing import Any

import pytest

from snn_deploy.core.errors import DataError
from snn_deploy.export.accuracy import Recorded, before_use, recorded_accuracy, require_recorded
from snn_deploy.export.parity import Parity


def result(accuracy: float, samples: int, classes: int = 10) -> dict[str, Any]:
    names = [str(n) for n in range(classes)]
    return {
        "student": {"test_accuracy": accuracy},
        "data": {"samples": {"test": samples}, "classes": names},
    }


def seen(accuracy: float | None, samples: int, reference: str = "network") -> Parity:
    return Parity("nir", "reference", reference, True, samples, accuracy_reference=accuracy)


def test_binomial_noise_is_allowed_and_no_more() -> None:
    recorded = recorded_accuracy(result(0.9, 450))
    assert recorded == Recorded(0.9, 450)
    # four deviations of 64 samples: 4 sqrt(0.09 / 64) = 0.15, and one sample
    require_recorded(recorded, [seen(0.75, 64)], chip=False)
    with pytest.raises(DataError, match=r"decides 70.0 % of 64 samples right; its run has recorded 90.0 %"):
        require_recorded(recorded, [seen(0.70, 64)], chip=False)
    require_recorded(recorded, [seen(0.1, 64), seen(0.9, 64, "student")], chip=True)
    with pytest.raises(DataError):
        require_recorded(recorded, [seen(0.9, 64), seen(0.1, 64, "student")], chip=True)
    require_recorded(recorded, [seen(None, 64)], chip=False)
    require_recorded(None, [seen(0.1, 64)], chip=False)


def test_a_perfect_record_still_allows_one_error() -> None:
    require_recorded(Recorded(1.0, 450), [seen(63 / 64, 64)], chip=False)
    with pytest.raises(DataError):
        require_recorded(Recorded(1.0, 450), [seen(56 / 64, 64)], chip=False)


@pytest.mark.parametrize(
    ("record", "samples", "said"),
    [
        (result(0.9, 450), 64, []),
        (None, 64, []),
        (None, 1, ["Proven on 1 sample only"]),
        (result(0.9, 20), 20, ["Proven on 20 samples only", "The test set has 20 samples only"]),
        (result(0.11, 450), 64, ["The student is at chance level: 11.0 %"]),
    ],
)
def test_what_to_know_before_use(record: dict[str, Any] | None, samples: int, said: list[str]) -> None:
    found = list(before_use(record, samples))
    assert len(found) == len(said)
    assert all(text.startswith(start) for text, start in zip(found, said, strict=True))
