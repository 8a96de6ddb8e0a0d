"""Centroids and residual buckets of a sample of token embeddings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

# Products of a chunk of tokens with all centroids: 2**24 floats are 64 MiB.
_CHUNK_ELEMENTS = 1 << 24
# torch.quantile takes no more values.
_MOST_QUANTILES = 1 << 24


def nearest(embeddings: Tensor, centroids: Tensor) -> Tensor:
    """The nearest centroid of each token, int64 ``[tokens]``; the first of several."""
    halves = centroids.square().sum(dim=1) / 2
    step = max(1, _CHUNK_ELEMENTS // max(len(centroids), 1))
    chunks = [(chunk @ centroids.T - halves).argmax(dim=1) for chunk in embeddings.split(step) if len(chunk)]
    return torch.cat(chunks) if chunks else torch.zeros(0, dtype=torch.long, device=embeddings.device)


def fit_centroids(embeddings: Tensor, count: int, *, iterations: int, normalise: bool) -> Tensor:
    """Lloyd's k-means from the first ``count`` tokens; a centroid that loses its last token stays where it is."""
    centroids = embeddings[:count].clone()
    for _ in range(iterations):
        owner = nearest(embeddings, centroids)
        sums = torch.zeros_like(centroids).index_add_(0, owner, embeddings)
        tokens = owner.bincount(minlength=count).unsqueeze(1)
        centroids = (sums / tokens.clamp(min=1)).where(tokens > 0, centroids)
        if normalise:
            centroids = normalize(centroids, dim=1)
    return centroids


def fit_buckets(embeddings: Tensor, centroids: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Cutoffs ``[2 ** bits - 1]`` between buckets of equally many residuals, and their medians ``[2 ** bits]``."""
    embeddings = embeddings[: _MOST_QUANTILES // embeddings.shape[1]]
    residuals = (embeddings - centroids[nearest(embeddings, centroids)]).flatten()
    edges = torch.arange(2**bits, device=residuals.device) / 2**bits
    return residuals.quantile(edges[1:]), residuals.quantile(edges + 0.5 / 2**bits)
