"""One vector a text whose dot product estimates MaxSim."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.modules import _muvera
from rankgrad.types import PackedTokens

InnerProjection: TypeAlias = Literal["signs", "sketch"]
_MOST_BITS = 10


class Muvera(nn.Module):
    r"""Fixed dimensional encodings: ``<encode_queries(Q), encode_documents(D)>`` estimates ``sum_i max_j <q_i, d_j>``.

    Space is cut into ``2^partition_bits`` partitions by the signs of that many random projections. A query's part of a
    partition is the sum of its tokens there, a document's the mean of its tokens there; if tokens that match lie in one
    partition, the dot product of the two parts is that of the matching tokens. Each part is projected to
    ``projection_dim`` values at random. The whole is drawn ``repetitions`` times, set end to end, and where
    ``final_dim`` is given sketched to that many values: each is added with a random sign to a random place. The dot
    product is ``repetitions`` times the estimate; this changes no order.

    Partitions are numbered in Gray order, so that neighbours differ by one sign. A partition without a token of the
    document takes its token with the fewest other signs, the first of several; queries leave theirs 0.

    With a ``temperature`` a token belongs to every partition, with the product over the signs of ``sigmoid(+-<g,
    x>/temperature)`` as its weight: sums and means are weighted, no partition of a document is empty, and gradients
    reach tokens, and with ``trainable`` the directions ``g``. Towards 0 the encodings become the hard ones, save that a
    partition without a token takes the one of the least ``sum |<g, x>|`` over the signs that differ.

    Args:
        dim: width of the token embeddings.
        repetitions: independent draws.
        partition_bits: signs that make a partition, 0 to 10; 0 = one partition.
        projection_dim: width of a part; None = the tokens' own, without a projection.
        projection: ``"signs"``, a matrix of +-1 over the root of ``projection_dim``, as in the paper; or ``"sketch"``,
            each coordinate added with a sign to one place, as in its authors' code.
        final_dim: width of the encoding; None = ``repetitions * 2^partition_bits * projection_dim``.
        fill_empty: as said above; else a document's empty partitions are 0 too.
        temperature: softness, in units of ``<g, x>``, whose spread is the token's length; None = hard.
        trainable: make the directions a parameter.
        seed: of all that is drawn.

    Shape:
        ``directions`` ``[repetitions, dim, partition_bits]``, ``projections`` ``[repetitions, dim, projection_dim]`` or
        None, ``places`` int64 and ``signs`` ``[unsketched]`` or None

    Raises:
        InputError: for sizes that do not fit.

    Reference:
        Dhulipala, Hadian, Jayaram, Lee, Mirrokni, "MUVERA: Multi-Vector Retrieval via Fixed Dimensional Encodings",
        NeurIPS 2024.

    Example:
        >>> muvera = Muvera(2, repetitions=1, partition_bits=0, projection_dim=None)
        >>> muvera.encode_queries(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))
        tensor([[1., 1.]])
        >>> muvera.encode_documents(PackedTokens(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 2])))
        tensor([[0.5000, 0.5000]])
    """

    directions: Tensor
    projections: Tensor | None
    places: Tensor | None
    signs: Tensor | None

    def __init__(
        self,
        dim: int,
        *,
        repetitions: int = 20,
        partition_bits: int = 4,
        projection_dim: int | None = 16,
        projection: InnerProjection = "signs",
        final_dim: int | None = None,
        fill_empty: bool = True,
        temperature: float | None = None,
        trainable: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"dim": dim, "repetitions": repetitions, "projection_dim": projection_dim, "final_dim": final_dim}
        for name, size in sizes.items():
            if size is not None and size < 1:
                raise InputError(f"{name}: expected at least 1, got {size}")
        if not 0 <= partition_bits <= _MOST_BITS:
            raise InputError(f"partition_bits: expected 0 to {_MOST_BITS}, got {partition_bits}; repeat instead")
        if projection not in ("signs", "sketch"):
            raise InputError(f'projection: expected "signs" or "sketch", got {projection!r}')
        if temperature is not None and not temperature > 0:
            raise InputError(f"temperature: expected a number above 0, got {temperature}; None is hard")
        self.dim, self.repetitions, self.partition_bits = dim, repetitions, partition_bits
        self.projection_dim, self.projection, self.final_dim = projection_dim, projection, final_dim
        self.fill_empty, self.temperature, self.trainable, self.seed = fill_empty, temperature, trainable, seed
        generator = torch.Generator().manual_seed(seed)
        directions = torch.randn(repetitions, dim, partition_bits, generator=generator)
        if trainable:
            self.directions = nn.Parameter(directions)
        else:
            self.register_buffer("directions", directions)
        drawn = None
        if projection_dim is not None:
            drawn = _muvera.draw_projection(repetitions, dim, projection_dim, projection == "sketch", generator)
        self.register_buffer("projections", drawn)
        places, signs = None, None
        if final_dim is not None:
            places = torch.randint(final_dim, (self.unsketched_dim,), generator=generator)
            signs = _muvera.draw_signs((self.unsketched_dim,), generator)
        self.register_buffer("places", places)
        self.register_buffer("signs", signs)

    @property
    def unsketched_dim(self) -> int:
        """Width of the encodings before the last sketch."""
        return self.repetitions * 2**self.partition_bits * (self.projection_dim or self.dim)

    @property
    def encoding_dim(self) -> int:
        """Width of the encodings."""
        return self.final_dim or self.unsketched_dim

    def settings(self) -> dict[str, int | float | str | None]:
        """The arguments that make a module of this shape again."""
        names = ("dim", "repetitions", "partition_bits", "projection_dim", "projection", "final_dim", "fill_empty")
        return {name: getattr(self, name) for name in (*names, "temperature", "trainable", "seed")}

    def forward(self, queries: Tensor, documents: PackedTokens, query_mask: Tensor | None = None) -> Tensor:
        """Estimates of MaxSim, times ``repetitions``: ``[queries, documents]``."""
        return self.encode_queries(queries, query_mask) @ self.encode_documents(documents).T

    def encode_queries(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode queries.

        Args:
            tokens: token embeddings.
            mask: True = a real token; None = all.

        Shape:
            tokens ``[queries, tokens, dim]``, mask bool ``[queries, tokens]`` -> float32 ``[queries, encoding_dim]``

        Raises:
            InputError: for tokens of another width.
        """
        self._check(tokens, 3, "[queries, tokens, {0}]")
        real = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device) if mask is None else mask
        lengths = real.sum(1)
        return self._encode(tokens[real].to(self.directions.dtype), lengths, mean=False)

    def encode_documents(self, documents: PackedTokens) -> Tensor:
        """Encode documents; one without a token is 0.

        Shape:
            embeddings ``[total_tokens, dim]``, cu_seqlens ``[documents + 1]`` -> float32 ``[documents, encoding_dim]``

        Raises:
            InputError: for tokens of another width.
        """
        self._check(documents.embeddings, 2, "[total_tokens, {0}]")
        lengths = documents.cu_seqlens.long().diff()
        encoded, start = [], 0
        for part in _muvera.parts(lengths, self.unsketched_dim):
            end = start + int(part.sum())
            encoded.append(self._encode(documents.embeddings[start:end].to(self.directions.dtype), part, mean=True))
            start = end
        return torch.cat(encoded) if encoded else self.directions.new_zeros(0, self.encoding_dim)

    def _encode(self, tokens: Tensor, lengths: Tensor, *, mean: bool) -> Tensor:
        """Encodings of texts of these lengths, whose tokens lie end to end."""
        owner = torch.arange(len(lengths), device=tokens.device).repeat_interleave(lengths.to(tokens.device))
        texts = _muvera.Texts(tokens, owner, len(lengths))
        heights, values = self._products(tokens)
        blocks = []
        for repetition in range(self.repetitions):
            height, value = heights[:, repetition], values if self.projections is None else values[:, repetition]
            if self.temperature is None:
                block = _muvera.hard_block(texts, height, value, mean=mean, fill=mean and self.fill_empty)
            else:
                weights = _muvera.soft_weights(height, self.temperature)
                block = _muvera.soft_block(texts, weights, value, mean=mean, fill=mean and self.fill_empty)
            blocks.append(block.flatten(1))
        encoded = torch.cat(blocks, dim=1)
        if self.places is None or self.signs is None:
            return encoded
        sketched = encoded.new_zeros(len(encoded), self.encoding_dim)
        return sketched.index_add(1, self.places, encoded * self.signs)

    def _products(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """``<g, x>`` ``[tokens, repetitions, bits]`` and the values ``[tokens, repetitions, projection_dim]``, by one
        product; without a projection the tokens themselves."""
        drawn = [self.directions] if self.projections is None else [self.directions, self.projections]
        products = tokens @ torch.cat([each.transpose(0, 1).flatten(1) for each in drawn], dim=1)
        bits = self.repetitions * self.partition_bits
        heights = products[:, :bits].reshape(len(tokens), self.repetitions, self.partition_bits)
        if self.projections is None:
            return heights, tokens
        return heights, products[:, bits:].unflatten(1, (self.repetitions, -1))

    def _check(self, tokens: Tensor, axes: int, expected: str) -> None:
        if tokens.dim() != axes or tokens.shape[-1] != self.dim:
            raise InputError(
                f"tokens: expected {expected.format(self.dim)}, got {list(tokens.shape)}; make Muvera with the "
                "encoder's dim"
            )
