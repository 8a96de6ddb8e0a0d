from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from rankgrad.modules.max_sim import MaxSim
from rankgrad.ops import maxsim


@pytest.mark.parametrize("options", [{}, {"layout": "pairs", "reduction": "mean", "backend": "reference"}])
def test_is_the_operator_with_its_options(options: dict[str, Any]) -> None:
    queries, documents = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    rest = (torch.rand(2, 3) < 0.7, torch.rand(2, 5) < 0.7)
    weights = torch.rand(2, 3)
    expected = maxsim(queries, documents, *rest, query_weights=weights, **options)
    assert_close(MaxSim(**options)(queries, documents, *rest, query_weights=weights), expected)
