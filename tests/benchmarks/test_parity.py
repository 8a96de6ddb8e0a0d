"""No number without agreement."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.parity import Agreement, DisagreementError, agreement, check


def test_agreement_is_relative_difference_and_kendall_tau() -> None:
    found = agreement(np.array([4.0, 2.0, 1.0]), np.array([4.0, 1.0, 1.5]))
    assert found == pytest.approx((1.0 / 4.0, 1.0 / 3.0))


@pytest.mark.parametrize(
    ("found", "exact", "accepted"),
    [
        (Agreement(5e-5, 1.0), True, True),
        (Agreement(2e-4, 1.0), True, False),
        (Agreement(float("nan"), 1.0), True, False),
        (Agreement(2e-1, 0.9), False, True),
        (Agreement(2e-1, 0.7), False, False),
    ],
)
def test_check(found: Agreement, exact: bool, accepted: bool) -> None:
    if accepted:
        check("peer", found, exact=exact, lowest_tau=0.8)
    else:
        with pytest.raises(DisagreementError, match="peer: "):
            check("peer", found, exact=exact, lowest_tau=0.8)


def test_other_shapes_disagree() -> None:
    with pytest.raises(DisagreementError, match=r"\[2\], the reference \[3\]"):
        agreement(np.ones(3), np.ones(2))
