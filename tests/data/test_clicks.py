"""Click models against their marginal probabilities, and position bias that is found again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.data.clicks import cascade_clicks, click_probabilities, dependent_clicks, position_based_clicks
from rankgrad.data.position_bias import examinations_by_em, examinations_by_interventions, inverse_propensities
from rankgrad.losses import ranknet_loss

ATTRACTIONS = torch.tensor([0.95, 0.4, 0.7])
SESSIONS = 40_000


def rates(clicks: torch.Tensor) -> torch.Tensor:
    return clicks.float().mean(dim=0)


def test_marginal_click_probabilities() -> None:
    shown, generator = ATTRACTIONS.expand(SESSIONS, -1), torch.Generator().manual_seed(0)
    looks = torch.tensor([1.0, 0.5, 0.2])
    assert_close(
        rates(position_based_clicks(shown, looks, generator=generator)), looks * ATTRACTIONS, atol=0.01, rtol=0
    )
    goes_on = torch.tensor([0.1, 0.8, 0.5])
    # A place is looked at when the one before was, and was not clicked or was clicked and left.
    expected, looked = [], 1.0
    for attraction, further in zip(ATTRACTIONS.tolist(), goes_on.tolist(), strict=True):
        expected.append(looked * attraction)
        looked *= further * attraction + 1 - attraction
    assert expected == pytest.approx([0.95, 0.058, 0.09338])
    clicks = dependent_clicks(shown, goes_on, generator=generator)
    assert_close(rates(clicks), torch.tensor(expected), atol=0.01, rtol=0)
    clicks = cascade_clicks(shown, generator=generator)
    assert_close(rates(clicks), torch.tensor([0.95, 0.02, 0.021]), atol=0.005, rtol=0)
    assert (clicks.sum(dim=-1) <= 1).all()


@pytest.fixture(scope="module")
def log() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Clicks and items of shuffled lists, and how much each place was looked at."""
    generator = torch.Generator().manual_seed(0)
    looks = torch.tensor([1.0, 0.6, 0.35, 0.2])
    queries = torch.randint(5, (SESSIONS, 1), generator=generator)
    items = queries * 4 + torch.rand(SESSIONS, 4, generator=generator).argsort(dim=-1)
    likes = torch.rand(20, generator=generator) * 0.8 + 0.1
    return position_based_clicks(likes[items], looks, generator=generator), items, looks


def test_position_bias_is_found_again(log: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    clicks, items, looks = log
    for found in (examinations_by_em(clicks, items, iterations=60), examinations_by_interventions(clicks, items)):
        assert_close(found, looks.double(), atol=0.02, rtol=0)


def test_places_that_share_no_item_are_not_compared() -> None:
    found = examinations_by_interventions(torch.ones(2, 2, dtype=torch.bool), torch.tensor([[0, 1], [0, 1]]))
    assert found[0] == 1
    assert found[1].isnan()


def test_inverse_propensities_leave_no_bias() -> None:
    """The mean weighted loss of clicks is that of clicks at places that are all looked at."""
    generator = torch.Generator().manual_seed(0)
    looks, scores = torch.tensor([1.0, 0.5, 0.25]), torch.tensor([0.5, 1.0, -1.0])
    shown, places = torch.tensor([0.2, 0.9, 0.6]).expand(SESSIONS, -1), torch.arange(3).expand(SESSIONS, -1)

    def loss(clicks: torch.Tensor, weights: torch.Tensor | None) -> float:
        # Of pairs against a fixed item, so that the loss is a sum over clicks.
        x = torch.cat([scores, torch.zeros(1)]).expand(SESSIONS, -1)
        clicked = torch.cat([clicks, torch.zeros_like(clicks[:, :1])], dim=1).float()
        mask = torch.cat([clicks, torch.ones_like(clicks[:, :1])], dim=1)
        given = None if weights is None else torch.nn.functional.pad(weights, (0, 1), value=1.0)
        return float(ranknet_loss(x, clicked, mask, weights=given, pairs="sum", reduction="sum"))

    fair = loss(position_based_clicks(shown, torch.ones(3), generator=generator), None)
    clicks = position_based_clicks(shown, looks, generator=generator)
    assert loss(clicks, inverse_propensities(places, looks)) == pytest.approx(fair, rel=0.02)
    assert loss(clicks, None) < 0.8 * fair


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: click_probabilities(torch.tensor([5])), "labels: expected grades from 0 to 4"),
        (lambda: click_probabilities(torch.tensor([1]), noise=2.0), "noise: expected a probability"),
        (lambda: position_based_clicks(ATTRACTIONS, torch.ones(2)), "examinations: expected one for each of 3 places"),
        (lambda: cascade_clicks(2 * ATTRACTIONS), "attractions: expected probabilities from 0 to 1"),
        (lambda: inverse_propensities(torch.tensor([3]), ATTRACTIONS), "places: expected numbers from 0 to 2, got 3"),
        (lambda: inverse_propensities(torch.tensor([0]), ATTRACTIONS, least=0.0), "least: expected a probability"),
        (lambda: examinations_by_em(torch.ones(2), torch.ones(2)), "clicks, items: expected"),
        (lambda: examinations_by_em(torch.ones(1, 1), -torch.ones(1, 1)), "items: expected numbers from 0"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
