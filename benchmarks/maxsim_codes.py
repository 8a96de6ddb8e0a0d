"""Documents in fewer bits beside those in floating point: who scores them, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.maxsim_data import Batch
from benchmarks.maxsim_providers import kernels_scores, maxsim_cpu_scores, ours_packed, segments
from rankgrad.ops import QuantisedTokens, ResidualTokens, maxsim_quantised
from rankgrad.ops.maxsim.quantised_tokens import byte_table
from rankgrad.retrieve.codecs import Int8Codec, ResidualCodec, SignCodec

_CENTROIDS = 256
_BITS = (4, 2)
_KERNELS, _KERNELS_PACKAGE = "late-interaction-kernels", "late_interaction_kernels"


class Coded(NamedTuple):
    """Documents as a provider keeps them, and ``scores(queries, documents, batch)``.

    Args:
        stands_for: the embeddings that the documents stand for ``[total, D]``.
        token_bytes: what one token takes, without what all tokens share.
        package: what must be installed.
    """

    name: str
    documents: Any
    scores: Callable[[Tensor, Any, Batch], Tensor]
    stands_for: Tensor
    token_bytes: float
    package: str = "torch"


def coded(batch: Batch) -> list[Coded]:
    """Ours in every format, then the peers of the batch's device; the first keeps the embeddings as they are."""
    packed = batch.packed
    kind = str(packed.dtype).removeprefix("torch.")
    plain = (packed, packed.shape[1] * packed.element_size())
    embeddings = packed.float()
    size = min(_CENTROIDS, len(embeddings) // 2)
    codecs = {"int8": Int8Codec(), "signs": SignCodec()}
    residuals = {f"residual, {bits} bits": ResidualCodec.fit(embeddings, centroids=size, bits=bits) for bits in _BITS}
    found = [Coded(f"rankgrad {kind}", packed, ours_packed, *plain)]
    found += [_ours(form, codec, embeddings) for form, codec in (codecs | residuals).items()]
    if packed.device.type == "cpu":
        found.append(Coded(f"packed product, segment max {kind}", packed, segments, *plain))
        found.append(Coded(f"maxsim-cpu {kind}", None, _arrays, *plain, "maxsim_cpu"))
    else:
        found.append(Coded(f"{_KERNELS} {kind}", batch.documents, kernels_scores, *plain, _KERNELS_PACKAGE))
        found += [_kernels(form, codec, embeddings) for form, codec in residuals.items()]
    return found


def _ours(form: str, codec: Any, embeddings: Tensor) -> Coded:
    tokens = codec.encode(embeddings)
    size = codec.bytes_per_token(embeddings.shape[1])
    return Coded(f"rankgrad {form}", tokens, _ours_scores, codec.decode(tokens), size)


def _kernels(form: str, codec: ResidualCodec, embeddings: Tensor) -> Coded:
    tokens = codec.encode(embeddings)
    theirs = tokens._replace(codes=_lowest_first(tokens.codes, codec.bits))
    size = codec.bytes_per_token(embeddings.shape[1])
    return Coded(f"{_KERNELS} {form}", theirs, _kernels_scores, codec.decode(tokens), size, _KERNELS_PACKAGE)


def _lowest_first(codes: Tensor, bits: int) -> Tensor:
    """Our bytes with the first number in the lowest bits, as late-interaction-kernels reads them."""
    numbers = byte_table(torch.arange(2.0**bits, device=codes.device)).long()
    places = torch.arange(numbers.shape[1], device=codes.device) * bits
    return (numbers << places).sum(dim=1).to(torch.uint8)[codes.long()]


def _ours_scores(queries: Tensor, documents: QuantisedTokens, batch: Batch) -> Tensor:
    return maxsim_quantised(queries, documents, document_cu_seqlens=batch.offsets)


def _arrays(queries: Tensor, documents: None, batch: Batch) -> Tensor:
    return maxsim_cpu_scores(queries, batch.packed, batch)


def _kernels_scores(queries: Tensor, documents: ResidualTokens, batch: Batch) -> Tensor:
    from late_interaction_kernels.plaid import maxsim_residual_varlen  # pyright: ignore[reportMissingImports]

    return maxsim_residual_varlen(
        queries,
        documents.centroid_ids,
        documents.codes,
        batch.offsets,
        documents.centroids,
        documents.bucket_weights,
        documents.bucket_weights.shape[0].bit_length() - 1,
        max_seqlen_d=max(batch.counts),
        normalize=documents.normalise,
    )
