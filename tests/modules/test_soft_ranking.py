from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.modules.soft_ranking import SoftRank
from rankgrad.ops import soft_rank


@pytest.mark.parametrize(
    "options",
    [
        {"descending": False},
        {"relative": True, "backend": "reference"},
        {"method": "isotonic", "regularization": "kl"},
    ],
    ids=str,
)
def test_is_the_operator_with_its_options(options: dict[str, Any]) -> None:
    x, mask = torch.randn(2, 6), torch.rand(2, 6) < 0.7
    expected = soft_rank(x, temperature=0.3, mask=mask, **options)
    assert_close(SoftRank(temperature=0.3, **options)(x, mask=mask), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature: expected a number above 0"),
        ({"temperature": 1.0, "method": "sort"}, 'method: expected one of "sigmoid", "isotonic"'),
    ],
)
def test_options_are_checked_before_training(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SoftRank(**options)
