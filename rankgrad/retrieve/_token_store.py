"""Token embeddings of a collection, end to end in the form that a codec gives them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.ops import Int8Tokens, ResidualTokens, SignTokens, maxsim, maxsim_quantised
from rankgrad.retrieve._buffers import make_room
from rankgrad.retrieve.codecs import Float16Codec, Int8Codec, ResidualCodec, SignCodec
from rankgrad.types import PackedTokens

CodecName: TypeAlias = Literal["fp16", "int8", "sign", "residual2", "residual4"]
CODECS: tuple[CodecName, ...] = ("fp16", "int8", "sign", "residual2", "residual4")
_NAMES = ("codes", "factors", "offsets", "centroids", "bucket_cutoffs", "bucket_weights", "unit_length")
# Tokens that residuals are fitted to, at most, and at least a centroid.
_SAMPLE = 1 << 17
_TOKENS_A_CENTROID = 100


class TokenStore(nn.Module):
    """Documents' tokens in a codec.

    Args:
        codec: ``"fp16"``, ``"int8"``, ``"sign"``, or ``"residual2"`` and ``"residual4"``, which are fitted.

    Shape:
        codes ``[total_tokens, ...]``; factors ``[total_tokens]``: scales of int8, centroid numbers of residuals;
        offsets int64 ``[documents + 1]``; centroids, bucket_cutoffs and bucket_weights as in :class:`ResidualCodec`;
        unit_length bool ``[]``: embeddings are of length 1. None before there is an index, or in other codecs.

    Example:
        >>> store = TokenStore("int8")
        >>> store.extend([PackedTokens(torch.eye(8), torch.tensor([0, 5, 8]))])
        >>> tokens, cu_seqlens = store.take(torch.tensor([1]))
        >>> cu_seqlens.tolist(), store.score(torch.eye(8)[None, 5:], None, tokens, cu_seqlens)
        ([0, 3], tensor([[3.]]))
    """

    codes: Tensor | None
    factors: Tensor | None
    offsets: Tensor | None
    centroids: Tensor | None
    bucket_cutoffs: Tensor | None
    bucket_weights: Tensor | None
    unit_length: Tensor | None

    def __init__(self, codec: CodecName) -> None:
        super().__init__()
        if codec not in CODECS:
            raise InputError(f"codec: expected one of {', '.join(CODECS)}, got {codec!r}")
        self.codec = codec
        for name in _NAMES:
            self.register_buffer(name, None)

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return 0 if self.offsets is None else len(self.offsets) - 1

    @property
    def dim(self) -> int:
        """Width of the embeddings; 0 before there are any."""
        if self.centroids is not None:
            return self.centroids.shape[1]
        width = 0 if self.codes is None else self.codes.shape[1]
        return 8 * width if self.codec == "sign" else width

    @property
    def is_fitted_to_a_sample(self) -> bool:
        """Whether the codec is of the kind that is fitted to embeddings."""
        return self.codec.startswith("residual")

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        return sum(tensor.nbytes for tensor in self.tensors().values())

    def tensors(self) -> dict[str, Tensor]:
        """What there is, by name."""
        return {name: tensor for name, tensor in self.named_buffers() if tensor is not None}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take what :meth:`tensors` gave.

        Raises:
            InputError: for tensors that do not belong together.
        """
        for name in _NAMES:
            setattr(self, name, tensors.get(name))
        needed = ("codes", "offsets")
        if self.is_fitted_to_a_sample:
            needed = tuple(_NAMES)
        elif self.codec == "int8":
            needed = ("codes", "factors", "offsets")
        missing = [name for name in needed if name not in tensors]
        if missing:
            raise InputError(f"tokens: codec {self.codec!r} needs {', '.join(missing)}")
        if int(tensors["offsets"][-1]) != len(tensors["codes"]):
            raise InputError(f"tokens: {len(tensors['codes'])}, where offsets end at {int(tensors['offsets'][-1])}")

    def fit(self, embeddings: Tensor, total: int, *, generator: torch.Generator) -> None:
        """Fit residuals to a sample ``[tokens, dim]`` of a collection of ``total`` tokens.

        Raises:
            InputError: for a sample without a token.
        """
        if not len(embeddings):
            raise InputError("documents: none has a token, to which residuals could be fitted: give some text")
        order = torch.randperm(len(embeddings), generator=generator, device=embeddings.device)
        sample = embeddings[order[:_SAMPLE]].float()
        unit = bool(((sample.norm(dim=1) - 1).abs() < 1e-3).all())
        usual = 2 ** int(math.log2(16 * math.sqrt(max(total, 1))))
        count = min(usual, max(1, len(sample) // _TOKENS_A_CENTROID))
        bits = int(self.codec.removeprefix("residual"))
        fitted = ResidualCodec.fit(sample, centroids=count, bits=bits, normalise=unit, generator=generator)
        self.centroids, self.bucket_cutoffs = fitted.centroids, fitted.bucket_cutoffs
        self.bucket_weights, self.unit_length = fitted.bucket_weights, torch.tensor(unit)

    def extend(self, parts: Iterable[PackedTokens]) -> None:
        """Add documents at the end.

        Raises:
            InputError: for embeddings that are not finite, or of another width than those there.
        """
        codes, factors, lengths = [], [], []
        width = self.dim
        for part in parts:
            width = width or part.embeddings.shape[-1]
            if part.embeddings.shape[-1] != width:
                raise InputError(
                    f"documents have {part.embeddings.shape[-1]} dimensions, the index {width}: index anew"
                )
            more, of_tokens = _split(self._coder().encode(part.embeddings))
            codes.append(more)
            factors.append(of_tokens)
            lengths.append(part.cu_seqlens.long().diff())
        if not codes:
            return
        if self.codes is not None and self.offsets is not None:
            codes.insert(0, self.codes)
            factors.insert(0, self.factors)
            lengths.insert(0, self.offsets.diff())
        self.codes = torch.cat(codes)
        self.factors = None if factors[0] is None else torch.cat(cast(list[Tensor], factors))
        self.offsets = torch.nn.functional.pad(torch.cat(lengths).cumsum(0), (1, 0))

    def keep(self, rows: Tensor) -> None:
        """Keep the documents ``rows`` int64 ``[n]``, in that order."""
        places, offsets = token_places(cast(Tensor, self.offsets), rows)
        self.codes = cast(Tensor, self.codes)[places]
        self.factors = None if self.factors is None else self.factors[places]
        self.offsets = offsets

    def take(self, rows: Tensor) -> tuple[Any, Tensor]:
        """The tokens of the documents ``rows`` int64 ``[n]``, in that order, and their int32 ``cu_seqlens``."""
        places, offsets = token_places(cast(Tensor, self.offsets), rows)
        return self._tokens(lambda tensor: tensor.index_select(0, places)), offsets.int()

    def span(self, documents: slice) -> tuple[Any, Tensor]:
        """The same of the documents of a slice, whose tokens are not copied."""
        offsets = cast(Tensor, self.offsets)[documents.start : documents.stop + 1]
        inside = slice(int(offsets[0]), int(offsets[-1]))
        return self._tokens(lambda tensor: tensor[inside]), (offsets - inside.start).int()

    def score(self, queries: Tensor, mask: Tensor | None, tokens: Any, cu_seqlens: Tensor) -> Tensor:
        """MaxSim of every query ``[queries, tokens, dim]`` with every document: float32 ``[queries, documents]``."""
        if isinstance(tokens, Tensor):
            return maxsim(queries, tokens, mask, document_cu_seqlens=cu_seqlens)
        return maxsim_quantised(queries, tokens, mask, document_cu_seqlens=cu_seqlens)

    def decoded(self, rows: Tensor) -> PackedTokens:
        """The embeddings of the documents ``rows``, as the codec keeps them."""
        tokens, cu_seqlens = self.take(rows)
        return PackedTokens(self._coder().decode(tokens), cu_seqlens)

    def _tokens(self, pick: Any) -> Any:
        """Some tokens as the codec and the operators know them."""
        codes = pick(cast(Tensor, self.codes))
        if self.codec == "fp16":
            return codes
        if self.codec == "sign":
            return SignTokens(codes)
        factors = pick(cast(Tensor, self.factors))
        if self.codec == "int8":
            return Int8Tokens(codes, factors)
        shared = cast(Tensor, self.centroids), cast(Tensor, self.bucket_weights), bool(self.unit_length)
        return ResidualTokens(codes, factors, *shared)

    def _coder(self) -> Float16Codec | Int8Codec | SignCodec | ResidualCodec:
        if self.codec == "fp16":
            return Float16Codec()
        if self.codec == "int8":
            return Int8Codec()
        if self.codec == "sign":
            return SignCodec()
        fitted = cast(Tensor, self.centroids), cast(Tensor, self.bucket_cutoffs), cast(Tensor, self.bucket_weights)
        return ResidualCodec(*fitted, normalise=bool(self.unit_length))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        make_room(self, _NAMES, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def token_places(offsets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens of the documents ``rows`` int64 ``[n]``, and where each document begins among them.

    Example:
        >>> [tensor.tolist() for tensor in token_places(torch.tensor([0, 1, 4]), torch.tensor([1, 0]))]
        [[1, 2, 3, 0], [0, 3, 4]]
    """
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    ends = lengths.cumsum(0)
    places = torch.arange(int(ends[-1]) if len(rows) else 0, device=offsets.device)
    return places + (starts - ends + lengths).repeat_interleave(lengths), torch.nn.functional.pad(ends, (1, 0))


def _split(tokens: Tensor | Int8Tokens | SignTokens | ResidualTokens) -> tuple[Tensor, Tensor | None]:
    """What each token has of its own."""
    if isinstance(tokens, Tensor):
        return tokens, None
    if isinstance(tokens, SignTokens):
        return tokens.bits, None
    return tokens[0], tokens[1]
