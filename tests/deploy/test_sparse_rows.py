"""The largest weights of a row are those that come first in order, of equal ones by place."""

from __future__ import annotations

import numpy as np
import pytest

from rankgrad.deploy.sparse_rows import largest


@pytest.mark.parametrize("k", range(1, 8))
@pytest.mark.parametrize("lowest", [0, -2])
def test_the_largest_are_the_first_in_order(k: int, lowest: int) -> None:
    dense = np.random.default_rng(k).integers(lowest, 4, size=(50, 6)).astype(np.float32)
    found = largest(dense, k)
    assert found.dtype == dense.dtype
    for row, kept in zip(dense.tolist(), found.tolist(), strict=True):
        first = sorted(range(len(row)), key=lambda place: (-row[place], place))[:k]
        assert kept == [value if place in first else 0 for place, value in enumerate(row)]
