"""One vector of the token states of a text."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from rankgrad._checks import InputError

StatePooling = Literal["cls", "mean", "last", "weighted_mean", "max"]
POOLINGS: tuple[StatePooling, ...] = get_args(StatePooling)


def pool_states(hidden: Tensor, mask: Tensor, *, method: StatePooling = "mean") -> Tensor:
    """Make one vector of each row's real token states.

    ``cls`` is the first real token's state, ``last`` the last one's (decoders), ``mean`` their mean, ``weighted_mean``
    the mean with weights 1, 2, 3, ... by position, ``max`` the largest value of each coordinate.

    Args:
        hidden: token states.
        mask: True or 1 = a real token; padding may stand on either side.
        method: as above.

    Shape:
        hidden ``[..., tokens, hidden]``, mask ``[..., tokens]`` -> float32 ``[..., hidden]``

    Raises:
        InputError: for an unknown method, or a mask of another shape.

    Reference:
        Reimers and Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP 2019. Weighted by
        position: Muennighoff, "SGPT: GPT Sentence Embeddings for Semantic Search", 2022.

    Example:
        >>> hidden = torch.tensor([[[1.0], [4.0], [9.0]]])
        >>> mask = torch.tensor([[True, True, False]])
        >>> [pool_states(hidden, mask, method=method).item() for method in ("cls", "mean", "last", "weighted_mean")]
        [1.0, 2.5, 4.0, 3.0]
    """
    if method not in POOLINGS:
        raise InputError(f"pooling={method!r} is unknown: choose one of {', '.join(POOLINGS)}")
    if mask.shape != hidden.shape[:-1]:
        raise InputError(f"mask: expected {list(hidden.shape[:-1])} as of the states, got {list(mask.shape)}")
    real = mask.bool()
    if method == "cls":
        return _at(hidden, real.int().argmax(dim=-1))
    if method == "last":
        return _at(hidden, last_real(real))
    if method == "max":
        found = hidden.float().masked_fill(~real.unsqueeze(-1), -torch.inf).amax(dim=-2)
        return found.masked_fill(~real.any(dim=-1, keepdim=True), 0.0)
    weights = real.float() if method == "mean" else real.cumsum(dim=-1).float() * real
    total = (hidden.float().masked_fill(~real.unsqueeze(-1), 0.0) * weights.unsqueeze(-1)).sum(dim=-2)
    return total / weights.sum(dim=-1, keepdim=True).clamp(min=1.0)


def last_real(mask: Tensor) -> Tensor:
    """The place of each row's last real token, int64 ``[...]``; 0 where there is none.

    Example:
        >>> last_real(torch.tensor([[1, 1, 0], [0, 1, 1]]))
        tensor([1, 2])
    """
    places = torch.arange(mask.shape[-1], device=mask.device)
    return (places * mask.bool()).amax(dim=-1)


def _at(hidden: Tensor, places: Tensor) -> Tensor:
    index = places[..., None, None].expand(*places.shape, 1, hidden.shape[-1])
    return hidden.gather(-2, index).squeeze(-2).float()
