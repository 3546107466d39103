"""The order of test items in batches: all of them, once, and the same wherever it is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from mlbench.measurement.mixing import mixed


@pytest.mark.parametrize("rows", [0, 1, 2, 1000])
def test_every_item_once(rows: int) -> None:
    assert sorted(mixed(rows).tolist()) == list(range(rows))


def test_it_stays_as_it_is() -> None:
    """Arms may run on interpreters and libraries of other versions, and must be given the same batches."""
    expected = [15, 3, 12, 7, 5, 2, 8, 11, 4, 9, 14, 13, 1, 6, 18, 0, 19, 10, 16, 17]
    assert mixed(20).tolist() == expected


def test_no_part_of_it_is_near_the_beginning() -> None:
    first = mixed(1000)[:32]
    assert len(np.unique(first // 100)) >= 8
