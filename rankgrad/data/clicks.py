"""Simulated clicks on rankings, by three models of how people read a list.

They belong to the data: a simulator makes training labels out of judgements, and no loss needs to know how clicks came.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad._checks import InputError


def click_probabilities(labels: Tensor, *, noise: float = 0.1, highest: float = 4.0) -> Tensor:
    """How probably an item that is looked at is clicked, by its grade.

    ``noise + (1 - noise) (2^y - 1) / (2^highest - 1)``.

    Args:
        labels: grades from 0 to ``highest``.
        noise: the probability of an item of grade 0.
        highest: the grade that is always clicked.

    Shape:
        ``[..., items]``, float32.

    Raises:
        InputError: for a noise outside 0 to 1 or labels outside the grades.

    Reference:
        Chapelle, Metlzer, Zhang, Grinspan: Expected reciprocal rank for graded relevance, CIKM 2009. With noise: Ai et
        al.: Unbiased learning to rank with unbiased propensity estimation, SIGIR 2018.

    Example:
        >>> click_probabilities(torch.tensor([0, 1, 2, 3, 4]))
        tensor([0.1000, 0.1600, 0.2800, 0.5200, 1.0000])
    """
    if not 0 <= noise <= 1:
        raise InputError(f"noise: expected a probability, got {noise}")
    if labels.numel() and not (labels.min() >= 0 and labels.max() <= highest):
        raise InputError(
            f"labels: expected grades from 0 to {highest}, got {float(labels.min())} to {float(labels.max())}"
        )
    return noise + (1 - noise) * (torch.exp2(labels.float()) - 1) / (2.0**highest - 1)


def position_based_clicks(
    attractions: Tensor, examinations: Tensor, *, generator: torch.Generator | None = None
) -> Tensor:
    """Clicks where each place is looked at with a probability of its own, whatever stands there.

    ``P(click at r) = examinations_r attractions_r``, independently.

    Args:
        attractions: probabilities of a click on the item at each place, once looked at.
        examinations: probabilities that a place is looked at.
        generator: where chance comes from; None = torch's global one.

    Shape:
        attractions ``[..., places]``, examinations ``[places]`` -> bool ``[..., places]``.

    Raises:
        InputError: for shapes that do not fit or numbers that are no probabilities.

    Reference:
        Richardson, Dominowska, Ragno: Predicting clicks, WWW 2007.

    Example:
        >>> position_based_clicks(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([1.0, 0.0, 1.0]))
        tensor([ True, False, False])
    """
    _check(attractions, "attractions")
    _check(examinations, "examinations", attractions)
    return _chance(attractions * examinations, generator)


def dependent_clicks(attractions: Tensor, continuations: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Clicks of someone who reads from the top, and after a click goes on with a probability of the place.

    Args:
        attractions: probabilities of a click on the item at each place, once looked at.
        continuations: probabilities of reading on after a click at each place.
        generator: where chance comes from; None = torch's global one.

    Shape:
        attractions ``[..., places]``, continuations ``[places]`` -> bool ``[..., places]``.

    Raises:
        InputError: for shapes that do not fit or numbers that are no probabilities.

    Reference:
        Guo, Liu, Wang: Efficient multiple-click models in web search, WSDM 2009.

    Example:
        >>> dependent_clicks(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([1.0, 0.0, 1.0]))
        tensor([ True,  True, False])
    """
    _check(attractions, "attractions")
    _check(continuations, "continuations", attractions)
    clicks = _chance(attractions, generator)
    ends = clicks & ~_chance(continuations.expand_as(attractions), generator)
    # An end at a place leaves it clicked and hides all behind it.
    return clicks & (ends.long().cumsum(dim=-1) - ends.long() == 0)


def cascade_clicks(attractions: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Clicks of someone who reads from the top and stops at the first click.

    ``P(click at r) = attractions_r prod_{i < r} (1 - attractions_i)``.

    Args:
        attractions: probabilities of a click on the item at each place, once looked at.
        generator: where chance comes from; None = torch's global one.

    Shape:
        ``[..., places]`` -> bool ``[..., places]``.

    Raises:
        InputError: for numbers that are no probabilities.

    Reference:
        Craswell, Zoeter, Taylor, Ramsey: An experimental comparison of click position-bias models, WSDM 2008.

    Example:
        >>> cascade_clicks(torch.tensor([0.0, 1.0, 1.0]))
        tensor([False,  True, False])
    """
    return dependent_clicks(
        attractions, torch.zeros_like(attractions[..., :1]).expand_as(attractions), generator=generator
    )


def _chance(probabilities: Tensor, generator: torch.Generator | None) -> Tensor:
    device = probabilities.device if generator is None else generator.device
    return torch.rand(probabilities.shape, generator=generator, device=device).to(probabilities.device) < probabilities


def _check(probabilities: Tensor, name: str, places: Tensor | None = None) -> None:
    if places is not None and probabilities.shape not in (places.shape[-1:], places.shape):
        raise InputError(f"{name}: expected one for each of {places.shape[-1]} places, got {list(probabilities.shape)}")
    if not bool(((probabilities >= 0) & (probabilities <= 1)).all()):
        raise InputError(f"{name}: expected probabilities from 0 to 1")
