"""Tables of constants, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.export.c.tables import common_unit, table, weights


def test_four_bits_lie_two_in_a_byte_the_first_one_low():
    made = weights(np.array([[2, -4, 6], [-16, 14, 0]]), 2)
    # 1, -2, 3 -> e1 03; -8, 7, 0 -> 78 00
    assert made.packed
    assert made.table.text == "0xe1, 0x03, 0x78, 0x00,"
    assert (made.stride, made.table.bytes, made.table.ctype) == (2, 4, "uint8_t")


def test_one_value_too_large_for_four_bits_makes_bytes():
    made = weights(np.array([[8, -8]]), 1)
    assert not made.packed
    assert (made.table.text, made.table.ctype, made.stride) == ("8, -8,", "int8_t", 2)


@pytest.mark.parametrize(
    ("low", "high", "ctype"),
    [
        (-128, 127, "int8_t"),
        (-129, 0, "int16_t"),
        (0, 128, "int16_t"),
        (-(1 << 15), (1 << 15) - 1, "int16_t"),
        (0, 1 << 15, "int32_t"),
        (-(1 << 31), (1 << 31) - 1, "int32_t"),
    ],
)
def test_the_narrowest_type_that_holds_all(low, high, ctype):
    assert table(np.array([low, high])).ctype == ctype


def test_more_than_32_bits_is_said():
    with pytest.raises(OverflowError, match="32 bits"):
        table(np.array([1 << 31]))


def test_unit_is_common_to_all_matrices():
    assert common_unit(np.array([4, -8]), np.array([6])) == 2
    assert common_unit(np.array([0])) == 1
