"""Fewer vectors a document: tokens that say nearly the same become their mean."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from rankgrad._checks import InputError, require
from rankgrad.types import PackedTokens

Pooling = Literal["hierarchical", "sequential"]


def pool_tokens(
    packed: PackedTokens,
    *,
    factor: int,
    method: Pooling = "hierarchical",
    protected: int = 1,
    renormalise: bool = True,
) -> PackedTokens:
    """Keep about one vector in ``factor``: the mean of each cluster of a document's tokens.

    ``hierarchical`` merges tokens by Ward's method on their cosine distances until ``tokens // factor`` clusters are
    left; ``sequential`` takes runs of ``factor`` tokens, which needs no scipy and is worse. Pooling once more pools
    once more.

    Args:
        packed: embeddings of unit length.
        factor: 1 = nothing is pooled; 2 costs hardly any quality, 3 to 4 a few percent.
        method: how tokens are grouped.
        protected: tokens at the start of each document that are kept as they are (``[CLS]``, the prefix).
        renormalise: give the means unit length, as MaxSim takes tokens to have; PyLate leaves them shorter.

    Returns:
        The pooled documents: protected tokens first, then the clusters, in the order of the embeddings' device.

    Raises:
        InputError: for a factor below 1, a negative ``protected`` or an unknown method.
        MissingExtraError: for ``hierarchical`` without scipy.

    Reference:
        Clavié, Chaffin, Adams, "Reducing the Footprint of Multi-Vector Retrieval with Minimal Performance Impact via
        Token Pooling", 2024.

    Example:
        >>> tokens = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
        >>> pool_tokens(PackedTokens(tokens, torch.tensor([0, 5], dtype=torch.int32)), factor=2).embeddings.tolist()
        [[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]]
    """
    if factor < 1 or protected < 0:
        raise InputError(f"factor={factor}, protected={protected}: at least 1 and 0")
    if method not in ("hierarchical", "sequential"):
        raise InputError(f"method={method!r} is unknown: choose hierarchical or sequential")
    if factor == 1:
        return packed
    rows, lengths = [], [0]
    for document in packed.embeddings.split(packed.cu_seqlens.diff().tolist()):
        fixed, free = document[:protected], document[protected:]
        if len(free) > max(len(free) // factor, 1):
            cluster = _ward(free, factor) if method == "hierarchical" else _runs(free, factor)
            means = _means(free, cluster)
            free = normalize(means, dim=-1) if renormalise else means
        rows += [fixed, free]
        lengths.append(len(fixed) + len(free))
    offsets = torch.tensor(lengths).cumsum(0).to(packed.cu_seqlens)
    return PackedTokens(torch.cat(rows) if rows else packed.embeddings, offsets)


def _ward(tokens: Tensor, factor: int) -> Tensor:
    """The cluster of each token, int64 ``[tokens]``, numbered without gaps."""
    hierarchy = require("scipy.cluster.hierarchy", "evaluate")
    known = tokens.detach().float().cpu()
    distance = 1 - known @ known.T
    upper = torch.triu_indices(len(known), len(known), offset=1)
    tree = hierarchy.linkage(distance[upper[0], upper[1]].clamp(min=0).numpy(), method="ward")
    labels = hierarchy.fcluster(tree, t=max(len(known) // factor, 1), criterion="maxclust")
    return torch.unique(torch.from_numpy(labels).long(), return_inverse=True)[1].to(tokens.device)


def _runs(tokens: Tensor, factor: int) -> Tensor:
    """Runs of ``factor`` tokens; the rest belongs to the last whole run."""
    place = torch.arange(len(tokens), device=tokens.device) // factor
    return place.clamp(max=max(len(tokens) // factor, 1) - 1)


def _means(tokens: Tensor, cluster: Tensor) -> Tensor:
    count = int(cluster.max()) + 1
    sums = tokens.new_zeros(count, tokens.shape[1]).index_add(0, cluster, tokens)
    return sums / torch.bincount(cluster, minlength=count).unsqueeze(1)
