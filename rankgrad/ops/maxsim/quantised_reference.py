"""What quantised tokens stand for, by definition."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from rankgrad.ops.maxsim.quantised_tokens import Int8Tokens, QuantisedTokens, SignTokens, byte_table


def decode(tokens: QuantisedTokens) -> Tensor:
    """Embeddings in float32 ``[..., dim]``.

    Example:
        >>> decode(Int8Tokens(torch.tensor([[2, -3]], dtype=torch.int8), torch.tensor([0.5])))
        tensor([[ 1.0000, -1.5000]])
        >>> decode(SignTokens(torch.tensor([[0b10010000]], dtype=torch.uint8), zero_one=True))
        tensor([[1., 0., 0., 1., 0., 0., 0., 0.]])
    """
    if isinstance(tokens, Int8Tokens):
        return tokens.codes.float() * tokens.scales.unsqueeze(-1)
    if isinstance(tokens, SignTokens):
        low = 0.0 if tokens.zero_one else -1.0
        return byte_table(torch.tensor([low, 1.0], device=tokens.bits.device))[tokens.bits.long()].flatten(-2)
    residuals = byte_table(tokens.bucket_weights.float())[tokens.codes.long()].flatten(-2)
    values = tokens.centroids[tokens.centroid_ids.long()].float() + residuals
    return normalize(values, dim=-1) if tokens.normalise else values
