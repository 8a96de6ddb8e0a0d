"""Token embeddings in fewer bytes, for an index."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.ops.maxsim.quantised_reference import decode
from rankgrad.ops.maxsim.quantised_tokens import (
    Int8Tokens,
    ResidualTokens,
    SignTokens,
    check_dim,
    check_tokens,
    pack_bits,
)
from rankgrad.retrieve._residual_fit import fit_buckets, fit_centroids, nearest


class Float16Codec(nn.Module):
    """Half precision: 2 bytes a value, error at most 2^-11 of the value (2^-25 where that is less).

    Example:
        >>> codec = Float16Codec()
        >>> codec.decode(codec.encode(torch.full((1, 8), 1 / 3)))[0, 0]
        tensor(0.3333)
    """

    def encode(self, embeddings: Tensor) -> Tensor:
        """Embeddings ``[..., dim]`` in float16; refuses what is beyond its largest number."""
        halves = _checked(embeddings).half()
        if not halves.isfinite().all():
            raise InputError(
                f"embeddings: expected at most {torch.finfo(torch.float16).max:g} in magnitude, float16's largest, "
                f"got {float(embeddings.abs().max()):g}; normalise them"
            )
        return halves

    def decode(self, tokens: Tensor) -> Tensor:
        """The embeddings in float32 ``[..., dim]``."""
        if tokens.dtype != torch.float16:
            raise TypeError(f"tokens: expected torch.float16, what encode gives, got {tokens.dtype}")
        return tokens.float()

    def bytes_per_token(self, dim: int) -> int:
        """Bytes that a token of ``dim`` values takes."""
        return 2 * dim


class Int8Codec(nn.Module):
    """Whole numbers from -127 to 127 and a scale a token: an error of at most half the scale, ``max|x| / 254``.

    Example:
        >>> codec = Int8Codec()
        >>> tokens = codec.encode(torch.tensor([[0.0, 0.1, -1.27, 0.0, 0.0, 0.0, 0.0, 0.0]]))
        >>> tokens.codes[0, :3].tolist(), round(float(tokens.scales[0]), 6)
        ([0, 10, -127], 0.01)
    """

    def encode(self, embeddings: Tensor) -> Int8Tokens:
        """Tokens of embeddings ``[..., dim]``."""
        embeddings = _checked(embeddings).float()
        scales = embeddings.abs().amax(dim=-1) / 127
        # A token of zeros has scale 0, and codes of 0 whatever they are divided by.
        codes = embeddings / scales.where(scales > 0, 1.0).unsqueeze(-1)
        return Int8Tokens(codes.round().clamp(-127, 127).to(torch.int8), scales)

    def decode(self, tokens: Int8Tokens) -> Tensor:
        """The embeddings in float32 ``[..., dim]``."""
        check_tokens(tokens, "tokens")
        return decode(tokens)

    def bytes_per_token(self, dim: int) -> int:
        """Bytes that a token of ``dim`` values takes, the float32 scale included."""
        return dim + 4


class SignCodec(nn.Module):
    """The sign of each value, one bit: 1 above 0.

    Decoded values are -1 and 1, or 0 and 1 with ``zero_one``, not of the embeddings' length; documents of a query
    keep their order under either convention.

    Args:
        zero_one: what the bits stand for: 0 and 1, as Vespa's ``unpack_bits`` has it, else -1 and 1.

    Example:
        >>> codec = SignCodec()
        >>> codec.decode(codec.encode(torch.tensor([[0.3, -0.2, 0.0, 0.1, -1.0, -1.0, -1.0, 2.0]])))
        tensor([[ 1., -1., -1.,  1., -1., -1., -1.,  1.]])
    """

    def __init__(self, *, zero_one: bool = False) -> None:
        super().__init__()
        self.zero_one = zero_one

    def encode(self, embeddings: Tensor) -> SignTokens:
        """Tokens of embeddings ``[..., dim]``."""
        return SignTokens(pack_bits(_checked(embeddings) > 0, 1), self.zero_one)

    def decode(self, tokens: SignTokens) -> Tensor:
        """The signs in float32 ``[..., dim]``."""
        check_tokens(tokens, "tokens")
        return decode(tokens)

    def bytes_per_token(self, dim: int) -> int:
        """Bytes that a token of ``dim`` values takes."""
        return dim // 8


class ResidualCodec(nn.Module):
    """The nearest of a few centroids, and each value's distance from it in 1, 2 or 4 bits.

    Make one with :meth:`fit`; the constructor takes what an index already has.

    Args:
        centroids: typical embeddings.
        bucket_cutoffs: ascending bounds between buckets of residuals.
        bucket_weights: the residual that each bucket stands for.
        normalise: embeddings are of length 1, and so are decoded ones.

    Shape:
        centroids ``[centroids, dim]``, bucket_cutoffs ``[2 ** bits - 1]``, bucket_weights ``[2 ** bits]``

    Reference:
        Santhanam, Khattab, Saad-Falcon, Potts, Zaharia: ColBERTv2: effective and efficient retrieval via lightweight
        late interaction, NAACL 2022.

    Example:
        >>> embeddings = nn.functional.normalize(torch.randn(500, 16), dim=-1)
        >>> codec = ResidualCodec.fit(embeddings, centroids=32, bits=4)
        >>> bool((codec.decode(codec.encode(embeddings)) * embeddings).sum(-1).mean() > 0.99)
        True
    """

    centroids: Tensor
    bucket_cutoffs: Tensor
    bucket_weights: Tensor

    def __init__(
        self, centroids: Tensor, bucket_cutoffs: Tensor, bucket_weights: Tensor, *, normalise: bool = True
    ) -> None:
        super().__init__()
        self.bits = max(bucket_weights.numel().bit_length() - 1, 0)
        self.normalise = normalise
        self.register_buffer("centroids", centroids)
        self.register_buffer("bucket_cutoffs", bucket_cutoffs)
        self.register_buffer("bucket_weights", bucket_weights)
        codes = torch.empty(0, _checked(centroids, "centroids").shape[-1] * self.bits // 8, dtype=torch.uint8)
        check_tokens(self._tokens(codes, torch.empty(0, dtype=torch.int32)), "ResidualCodec")
        if not len(centroids):
            raise InputError("centroids: expected at least one, got none")
        if bucket_cutoffs.shape != (bucket_weights.numel() - 1,):
            raise InputError(
                f"bucket_cutoffs: expected [{bucket_weights.numel() - 1}], one fewer than bucket_weights, "
                f"got {list(bucket_cutoffs.shape)}"
            )

    @classmethod
    def fit(
        cls,
        embeddings: Tensor,
        *,
        centroids: int,
        bits: int = 2,
        iterations: int = 4,
        normalise: bool = True,
        generator: torch.Generator | None = None,
    ) -> ResidualCodec:
        """Centroids by k-means, buckets by quantiles of the residuals of a twentieth of the tokens, held out.

        Args:
            embeddings: a sample of tokens ``[tokens, dim]``.
            centroids: how many. The ColBERT authors take the power of 2 below 16 times the root of a collection's
                tokens.
            bits: 1, 2 or 4 bits a value.
            iterations: of k-means.
            normalise: embeddings are of length 1, and so are centroids and decoded tokens.
            generator: draws the held-out tokens and the first centroids.

        Raises:
            InputError: for a sample that is too small, or bits that do not fill bytes.
        """
        if bits not in (1, 2, 4):
            raise InputError(f"bits: expected 1, 2 or 4, got {bits}")
        if embeddings.dim() != 2:
            raise InputError(f"embeddings: expected [tokens, dim], got {list(embeddings.shape)}")
        embeddings = _checked(embeddings).float()
        held_out = len(embeddings) // 20
        if not 0 < centroids <= len(embeddings) - held_out:
            raise InputError(
                f"centroids: expected 1 to {len(embeddings) - held_out}, as many as embeddings that are not held out, "
                f"got {centroids}; give more embeddings or ask for fewer centroids"
            )
        order = torch.randperm(len(embeddings), generator=generator, device=embeddings.device)
        sample = embeddings[order[held_out:]]
        found = fit_centroids(sample, centroids, iterations=iterations, normalise=normalise)
        return cls(
            found, *fit_buckets(embeddings[order[:held_out]] if held_out else sample, found, bits), normalise=normalise
        )

    def encode(self, embeddings: Tensor) -> ResidualTokens:
        """Tokens of embeddings ``[..., dim]``."""
        dim = self.centroids.shape[1]
        if _checked(embeddings).shape[-1] != dim:
            raise InputError(f"embeddings: expected [..., {dim}], like the centroids, got {list(embeddings.shape)}")
        rows, centroids = embeddings.float().reshape(-1, dim), self.centroids.float()
        ids = nearest(rows, centroids)
        codes = torch.bucketize(rows - centroids[ids], self.bucket_cutoffs.float(), out_int32=True)
        leading = embeddings.shape[:-1]
        return self._tokens(pack_bits(codes, self.bits).view(*leading, dim * self.bits // 8), ids.int().view(leading))

    def decode(self, tokens: ResidualTokens) -> Tensor:
        """The embeddings in float32 ``[..., dim]``."""
        check_tokens(tokens, "tokens")
        return decode(tokens)

    def bytes_per_token(self, dim: int) -> int:
        """Bytes that a token of ``dim`` values takes, the centroid's int32 number included."""
        return dim * self.bits // 8 + 4

    def _tokens(self, codes: Tensor, centroid_ids: Tensor) -> ResidualTokens:
        return ResidualTokens(codes, centroid_ids, self.centroids, self.bucket_weights, self.normalise)


def _checked(embeddings: Tensor, name: str = "embeddings") -> Tensor:
    """Refuse what no codec can keep."""
    if not embeddings.is_floating_point():
        raise TypeError(f"{name}: expected a floating-point tensor, got {embeddings.dtype}; convert it with .float()")
    if embeddings.dim() == 0:
        raise InputError(f"{name}: expected [..., dim], got a tensor without axes")
    check_dim(embeddings.shape[-1], name)
    if not embeddings.isfinite().all():
        raise InputError(f"{name}: expected finite values, got NaN or infinity; leave padding out")
    return embeddings
