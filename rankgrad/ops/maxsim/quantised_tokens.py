"""Token embeddings in 1 to 8 bits a value: what is stored, and how its bits lie."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops.maxsim.tiles import WIDEST

_FLOATS = (torch.float16, torch.bfloat16, torch.float32)


class Int8Tokens(NamedTuple):
    """Value = code times the scale of its token.

    Shape:
        codes int8 ``[..., dim]``, scales float32 ``[...]``
    """

    codes: Tensor
    scales: Tensor


class SignTokens(NamedTuple):
    """Value = 2 bit - 1, or the bit itself with ``zero_one``; the first of eight values is a byte's highest bit.

    ``<q, 2b - 1> = 2 <q, b> - sum(q)``, so both conventions order the documents of a query alike.

    Shape:
        bits uint8 ``[..., dim / 8]``, as ``numpy.packbits`` and Vespa lay them
    """

    bits: Tensor
    zero_one: bool = False


class ResidualTokens(NamedTuple):
    """Value = the centroid's + the weight of the residual's bucket, then L2-normalised with ``normalise``.

    A bucket's number takes 1, 2 or 4 bits, its lowest bit first, and the bits fill a byte from its highest down: the
    order of the ColBERT authors' indexes.

    Shape:
        codes uint8 ``[..., dim * bits / 8]``, centroid_ids int32 ``[...]``, centroids ``[centroids, dim]``,
        bucket_weights ``[2 ** bits]``
    """

    codes: Tensor
    centroid_ids: Tensor
    centroids: Tensor
    bucket_weights: Tensor
    normalise: bool = True


QuantisedTokens: TypeAlias = Int8Tokens | SignTokens | ResidualTokens


def check_tokens(tokens: QuantisedTokens, name: str = "documents") -> torch.Size:
    """Refuse tensors that do not belong together; the shape of the embeddings they stand for.

    Raises:
        InputError: for a shape.
        TypeError: for a dtype, or for documents that are not quantised.

    Example:
        >>> check_tokens(SignTokens(torch.zeros(5, 3, 16, dtype=torch.uint8)))
        torch.Size([5, 3, 128])
    """
    if isinstance(tokens, Int8Tokens):
        _check_dtype(tokens.codes, f"{name}.codes", torch.int8)
        _check_dtype(tokens.scales, f"{name}.scales", torch.float32)
        codes, dim = tokens.codes, _last(tokens.codes, f"{name}.codes")
        _check_shape(tokens.scales, codes.shape[:-1], f"{name}.scales", "one for each token")
    elif isinstance(tokens, SignTokens):
        _check_dtype(tokens.bits, f"{name}.bits", torch.uint8)
        codes, dim = tokens.bits, 8 * _last(tokens.bits, f"{name}.bits")
    elif isinstance(tokens, ResidualTokens):
        codes, dim = tokens.codes, _check_residual(tokens, name)
    else:
        raise TypeError(
            f"{name}: expected Int8Tokens, SignTokens or ResidualTokens, got {type(tokens).__name__}; "
            "maxsim takes embeddings"
        )
    check_dim(dim, name)
    return torch.Size((*codes.shape[:-1], dim))


def check_dim(dim: int, name: str) -> None:
    """Refuse a width that does not fill whole bytes, or that no kernel holds."""
    if dim % 8 or not 0 < dim <= WIDEST:
        raise InputError(f"{name}: expected a dim that is a multiple of 8, at most {WIDEST}, got {dim}")


def check_centroid_ids(ids: Tensor, mask: Tensor | None, count: int) -> None:
    """Refuse real tokens of a centroid that is not there. Reads values, so only of a CPU tensor."""
    if ids.device.type != "cpu":
        return
    real = ids if mask is None else ids[mask]
    if real.numel() and not 0 <= int(real.min()) <= int(real.max()) < count:
        raise InputError(
            f"documents.centroid_ids: expected 0 to {count - 1}, the centroids given, "
            f"got {int(real.min())} to {int(real.max())}"
        )


def pack_bits(codes: Tensor, bits: int) -> Tensor:
    """Numbers of 1, 2 or 4 bits ``[..., n]`` in bytes ``[..., n * bits / 8]``, each lowest bit first.

    Example:
        >>> pack_bits(torch.tensor([1, 0, 0, 0, 0, 0, 0, 1]), 1)
        tensor([129], dtype=torch.uint8)
        >>> pack_bits(torch.tensor([1, 2, 0, 3]), 2)
        tensor([147], dtype=torch.uint8)
    """
    places = torch.arange(bits, device=codes.device, dtype=torch.uint8)
    spread = (codes.to(torch.uint8).unsqueeze(-1) >> places & 1).flatten(-2).unflatten(-1, (-1, 8))
    return (spread << torch.arange(7, -1, -1, device=codes.device, dtype=torch.uint8)).sum(-1, dtype=torch.uint8)


def byte_table(values: Tensor) -> Tensor:
    """What each byte stands for ``[256, 8 / bits]``, given what each number of ``bits`` bits does ``[2 ** bits]``.

    Example:
        >>> byte_table(torch.tensor([0.0, 0.1, 0.2, 0.3]))[147]
        tensor([0.1000, 0.2000, 0.0000, 0.3000])
    """
    bits = values.shape[0].bit_length() - 1
    # Division in place of shifts, which ONNX has for other types only.
    highest_first = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], device=values.device)
    spread = (torch.arange(256, device=values.device).unsqueeze(-1) // highest_first % 2).unflatten(-1, (-1, bits))
    return values[(spread * highest_first[8 - bits :].flip(0)).sum(-1)]


def _check_residual(tokens: ResidualTokens, name: str) -> int:
    """The width, once everything fits it."""
    _check_dtype(tokens.codes, f"{name}.codes", torch.uint8)
    _check_dtype(tokens.centroid_ids, f"{name}.centroid_ids", torch.int32)
    _check_dtype(tokens.centroids, f"{name}.centroids", *_FLOATS)
    _check_dtype(tokens.bucket_weights, f"{name}.bucket_weights", *_FLOATS)
    if tokens.centroids.dim() != 2:
        raise InputError(f"{name}.centroids: expected [centroids, dim], got {list(tokens.centroids.shape)}")
    if tokens.bucket_weights.shape not in ((2,), (4,), (16,)):
        raise InputError(
            f"{name}.bucket_weights: expected 2, 4 or 16 weights, for 1, 2 or 4 bits a value, "
            f"got {list(tokens.bucket_weights.shape)}"
        )
    dim, bits = tokens.centroids.shape[1], tokens.bucket_weights.shape[0].bit_length() - 1
    if 8 * _last(tokens.codes, f"{name}.codes") != dim * bits:
        raise InputError(
            f"{name}.codes: expected [..., {dim * bits // 8}], {bits} bits for each of the centroids' {dim} values, "
            f"got {list(tokens.codes.shape)}"
        )
    _check_shape(tokens.centroid_ids, tokens.codes.shape[:-1], f"{name}.centroid_ids", "one for each token")
    return dim


def _last(tensor: Tensor, name: str) -> int:
    if tensor.dim() == 0:
        raise InputError(f"{name}: expected tokens and their codes on the last two axes, got a tensor without axes")
    return tensor.shape[-1]


def _check_dtype(tensor: Tensor, name: str, *dtypes: torch.dtype) -> None:
    if tensor.dtype not in dtypes:
        wanted = " or ".join(str(dtype) for dtype in dtypes)
        raise TypeError(f"{name}: expected {wanted}, got {tensor.dtype}; convert it with .to({dtypes[-1]})")


def _check_shape(tensor: Tensor, shape: torch.Size, name: str, meaning: str) -> None:
    if tensor.shape != shape:
        raise InputError(f"{name}: expected {list(shape)}, {meaning}, got {list(tensor.shape)}")
