from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.modules.soft_ranking import SoftRank
from rankgrad.ops import soft_rank


def test_is_the_operator_with_its_options() -> None:
    x, mask = torch.randn(2, 6), torch.rand(2, 6) < 0.7
    expected = soft_rank(x, temperature=0.3, descending=False, mask=mask)
    assert_close(SoftRank(temperature=0.3, descending=False)(x, mask=mask), expected)


def test_temperature_is_checked_before_training() -> None:
    with pytest.raises(InputError, match="temperature: expected a number above 0"):
        SoftRank(temperature=0.0)
