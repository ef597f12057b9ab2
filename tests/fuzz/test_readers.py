"""A few seconds of what `make fuzz` does for minutes: damaged files are read, or refused with our errors."""

from __future__ import annotations

import warnings

import pytest
from support.fuzzing import TARGETS

from snn_deploy.core.errors import SnnDeployError

CASES = 40


@pytest.mark.parametrize("name", TARGETS)
def test_valid_files_are_read(name, tmp_path):
    target = TARGETS[name]
    for number, content in enumerate(target.seeds()):
        path = tmp_path / f"{number}{target.suffix}"
        path.write_bytes(content)
        target.run(path)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_never_give_another_error(name, tmp_path):
    target, refused = TARGETS[name], 0
    for number in range(CASES):
        path = tmp_path / f"{number}{target.suffix}"
        path.write_bytes(target.case(number))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                target.run(path)
        except SnnDeployError as error:
            assert isinstance(error, target.refusals), error
            assert str(error)
            refused += 1
    assert refused > CASES * target.refused


def test_cases_are_reproducible():
    for target in TARGETS.values():
        assert [target.case(n) for n in range(5)] == [target.case(n) for n in range(5)]
        assert len({target.case(n) for n in range(5)}) > 1
