"""How much places are looked at, learnt from clicks, and the weights that make up for it."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad._checks import InputError

_LEAST = 1e-6


def inverse_propensities(places: Tensor, examinations: Tensor, *, least: float = 0.01) -> Tensor:
    """``1 / max(examinations at the place, least)``: item weights of losses whose labels are clicks.

    Of the click model of places the weighted loss of clicks has the expectation of the loss of relevance, as long as no
    propensity is below ``least``, which bounds the variance.

    Args:
        places: where each item was shown, from 0.
        examinations: the probability that each place is looked at.
        least: what smaller propensities count as; above 0.

    Shape:
        places ``[..., items]`` int64, examinations ``[places]`` -> ``[..., items]``.

    Raises:
        InputError: for places that examinations lack, or a ``least`` not in (0, 1].

    Reference:
        Joachims, Swaminathan, Schnabel: Unbiased learning-to-rank with biased feedback, WSDM 2017.

    Example:
        >>> inverse_propensities(torch.tensor([2, 0, 1]), torch.tensor([1.0, 0.5, 0.001]))
        tensor([100.,   1.,   2.])
    """
    if not 0 < least <= 1:
        raise InputError(f"least: expected a probability above 0, got {least}")
    _check_places(places, len(examinations))
    return 1 / examinations.clamp(min=least)[places]


def examinations_by_em(clicks: Tensor, items: Tensor, *, iterations: int = 100) -> Tensor:
    """Examination of each place by expectation maximisation of the click model of places.

    ``P(click on i at r) = e_r a_i``. A place that is never clicked explains itself by ``P(looked at | no click) =
    e (1 - a) / (1 - e a)``, and likewise the item; e and a are then the means of these. Only items that were shown at
    different places tell the two apart.

    Args:
        clicks: what was clicked.
        items: which item stood where, numbered from 0 (one number for a query and a document).
        iterations: how often both are improved.

    Shape:
        clicks bool and items int64 ``[sessions, places]`` -> ``[places]`` float64, relative to the first place's.

    Raises:
        InputError: for shapes that do not fit or a negative item.

    Reference:
        Wang, Golbandi, Bendersky, Metzler, Najork: Position bias estimation for unbiased learning to rank in personal
        search, WSDM 2018.

    Example:
        >>> clicks = torch.tensor([[True, False], [True, True], [True, False], [True, True]])
        >>> items = torch.tensor([[0, 1], [0, 1], [1, 0], [1, 0]])
        >>> examinations_by_em(clicks, items).round(decimals=2)
        tensor([1.0000, 0.5000], dtype=torch.float64)
    """
    clicked = _check_log(clicks, items)
    shown = torch.bincount(items.flatten()).clamp(min=1)
    looked, liked = clicked.new_full(clicks.shape[-1:], 0.5), clicked.new_full(shown.shape, 0.5)
    for _ in range(iterations):
        attraction = liked[items]
        missed = (1 - looked * attraction).clamp(min=_LEAST)
        seen = clicked + (1 - clicked) * looked * (1 - attraction) / missed
        wanted = clicked + (1 - clicked) * (1 - looked) * attraction / missed
        looked = seen.mean(dim=0)
        liked = torch.zeros_like(liked).index_add_(0, items.flatten(), wanted.flatten()) / shown
    return looked / looked[:1].clamp(min=_LEAST)


def examinations_by_interventions(clicks: Tensor, items: Tensor) -> Tensor:
    """Examination of each place by comparing the same items at neighbouring places.

    ``e_{r+1} / e_r`` is the ratio of the click rates at r + 1 and r, summed over the items that were shown at both; the
    ratios are multiplied along the list. No model of relevance is needed, only that the logs hold such items.

    Args:
        clicks: what was clicked.
        items: which item stood where, numbered from 0 (one number for a query and a document).

    Shape:
        clicks bool and items int64 ``[sessions, places]`` -> ``[places]`` float64, relative to the first place's; NaN
        from the first place on that shares no clicked item with the one before.

    Raises:
        InputError: for shapes that do not fit or a negative item.

    Reference:
        Agarwal, Zaitsev, Wang, Li, Najork, Joachims: Estimating position bias without intrusive interventions, WSDM
        2019 (AdjacentChain).

    Example:
        >>> clicks = torch.tensor([[True, False], [True, True]])
        >>> examinations_by_interventions(clicks, torch.tensor([[0, 1], [1, 0]]))
        tensor([1.0000, 0.5000], dtype=torch.float64)
    """
    clicked = _check_log(clicks, items)
    places = clicks.shape[-1]
    cells = (items * places + torch.arange(places, device=items.device)).flatten()
    count = (int(items.max()) + 1) * places if items.numel() else 0
    shown = torch.bincount(cells, minlength=count).double().view(-1, places)
    rates = clicked.new_zeros(count).index_add_(0, cells, clicked.flatten()).view(-1, places)
    rates = rates / shown.clamp(min=1)
    both = (shown[:, 1:] > 0) & (shown[:, :-1] > 0)
    ratios = (rates[:, 1:] * both).sum(dim=0) / (rates[:, :-1] * both).sum(dim=0)
    return torch.cat([ratios.new_ones(min(places, 1)), ratios]).cumprod(dim=0)


def _check_log(clicks: Tensor, items: Tensor) -> Tensor:
    """Clicks as numbers."""
    if clicks.dim() != 2 or items.shape != clicks.shape:
        raise InputError(
            f"clicks, items: expected [sessions, places] each, got {list(clicks.shape)} and {list(items.shape)}"
        )
    if items.numel() and int(items.min()) < 0:
        raise InputError(f"items: expected numbers from 0, got {int(items.min())}")
    return clicks.double()


def _check_places(places: Tensor, count: int) -> None:
    if places.numel() and not (int(places.min()) >= 0 and int(places.max()) < count):
        raise InputError(
            f"places: expected numbers from 0 to {count - 1}, got {int(places.min())} to {int(places.max())}"
        )
