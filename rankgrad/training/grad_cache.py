"""Contrastive batches whose activations do not fit: encode in micro-batches and keep the embeddings alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from rankgrad._checks import InputError
from rankgrad.data.collate import ImageFeatures, LateInteractionFeatures, PairFeatures, TextTokens
from rankgrad.models._equal_calls import call_each
from rankgrad.training._row_numbers import patches_as_tokens


@runtime_checkable
class SplitModel(Protocol):
    """A model that reads queries and documents apart and compares them afterwards, as :class:`rankgrad.models.ColBERT`.

    Shape:
        - embed_queries: ``[queries, ...]``; embed_documents: ``[documents, ...]``
        - compare: float32 ``[..., queries, documents]``, the documents of all groups of (embeddings, mask). Masks are
          ``scored`` of the tokens, and a model with one vector a text needs none
    """

    def embed_queries(self, tokens: TextTokens) -> Tensor: ...

    def embed_documents(self, tokens: TextTokens) -> Tensor: ...

    def compare(self, queries: Tensor, query_mask: Tensor, groups: Sequence[tuple[Tensor, Tensor]]) -> Tensor: ...


class ImageSplitModel(Protocol):
    """The same with images for documents, as :class:`rankgrad.models.ImageColBERT`: all of ``patches`` embeddings."""

    patches: int

    def embed_documents(self, pixel_values: Tensor) -> Tensor: ...


class Embedded(NamedTuple):
    """The embeddings of a batch.

    Shape:
        queries: ``[queries, ...]``.
        documents: ``[rows, ...]`` a group, in the order of the batch.
        groups: the tokens of each; for images, one a patch, see ``patches_as_tokens``.
    """

    queries: Tensor
    documents: list[Tensor]
    groups: list[TextTokens]


def cached_scores(
    model: nn.Module, features: LateInteractionFeatures | ImageFeatures | PairFeatures, *, micro_batch_tokens: int
) -> Tensor:
    """Score a batch while holding the activations of one micro-batch only; the gradients are those of the whole batch.

    The loss needs the embeddings of all texts at once, but not the activations that led to them. So each micro-batch is
    encoded without keeping activations, and encoded again, with the same dropout, when the gradient of its embeddings
    is known; one ``backward()`` does all of it. Beside one micro-batch, memory grows with the embeddings and the
    scores; time by one more forward pass. To precision, clipping, gradient accumulation and DDP it is one graph, so
    they work as always.

    Args:
        model: a :class:`SplitModel`.
        features: of :class:`rankgrad.data.ListCollate`.
        micro_batch_tokens: rows times width of what is encoded together, padding included; of images, their patches.

    Shape:
        returns: float32 scores ``[queries, candidates]``, the same as those of ``model(features)``.

    Raises:
        InputError: for a model that reads query and document together, or a text or an image longer than
            ``micro_batch_tokens``.

    Reference:
        Gao, Zhang, Han, Callan, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP
        2021.

    Example:
        >>> class Sum(nn.Module):
        ...     def embed_queries(self, tokens):
        ...         return tokens.input_ids.float().sum(1)
        ...     embed_documents = embed_queries
        ...     def compare(self, queries, query_mask, groups):
        ...         return torch.cat([queries[:, None] * documents for documents, _ in groups], dim=-1)
        >>> ids = torch.tensor([[1, 2], [3, 4]])
        >>> tokens = TextTokens(ids, ids.clamp(max=1), ids * 0, ids > 0)
        >>> cached_scores(Sum(), LateInteractionFeatures(tokens, [tokens], None), micro_batch_tokens=2)
        tensor([[ 9., 21.],
                [21., 49.]])
    """
    features = split_features(features)
    embedded = embed(model, features, micro_batch_tokens=micro_batch_tokens)
    groups = [(each, tokens.scored) for each, tokens in zip(embedded.documents, embedded.groups, strict=True)]
    scores = split_model(model).compare(embedded.queries, features.queries.scored, groups)
    if features.slots is None:
        return scores
    return scores.gather(-1, features.slots.expand(*scores.shape[:-1], -1))


def embed(
    model: nn.Module,
    features: LateInteractionFeatures | ImageFeatures | PairFeatures,
    *,
    micro_batch_tokens: int | None,
) -> Embedded:
    """Embed queries and documents; in micro-batches whose activations are made anew in the backward pass, or, with
    None, in the groups of the batch.

    Raises:
        InputError: as :func:`cached_scores`.
    """
    split = split_model(model)
    features = split_features(features)
    if isinstance(features, ImageFeatures):
        return _embed_images(split, features, micro_batch_tokens)
    if micro_batch_tokens is None:
        documents = call_each(model, split.embed_documents, features.documents)
        return Embedded(split.embed_queries(features.queries), documents, features.documents)
    queries = _embed_queries(split, features.queries, micro_batch_tokens)
    groups = micro_batches(features.documents, micro_batch_tokens)
    return Embedded(queries, _each_again_in_backward(split, split.embed_documents, groups), groups)


def split_model(model: nn.Module) -> SplitModel:
    """The model, if it reads queries and documents apart.

    Raises:
        InputError: when it does not.
    """
    if not isinstance(model, SplitModel):
        raise InputError(
            f"{type(model).__name__} reads query and document together, so it has no embeddings to keep or to share: "
            "leave grad_cache_tokens and cross_device_negatives out, or train a model that reads them apart"
        )
    return cast(SplitModel, model)


def split_features(
    features: LateInteractionFeatures | ImageFeatures | PairFeatures,
) -> LateInteractionFeatures | ImageFeatures:
    """The features, if queries and documents come apart.

    Raises:
        InputError: when they come in pairs.
    """
    if isinstance(features, PairFeatures):
        raise InputError("the batch holds pairs of query and document: collate it with the tokenizer of the model")
    return features


def micro_batches(groups: Sequence[TextTokens], tokens: int) -> list[TextTokens]:
    """The rows of all groups in the same order, joined and cut so that rows times width is at most ``tokens``.

    Raises:
        InputError: when one row alone is longer.

    Example:
        >>> def rows(count, width):
        ...     ids = torch.ones(count, width, dtype=torch.int64)
        ...     return TextTokens(ids, ids, ids, ids > 0)
        >>> [list(each.input_ids.shape) for each in micro_batches([rows(2, 3), rows(1, 4), rows(5, 6)], 12)]
        [[3, 4], [2, 6], [2, 6], [1, 6]]
    """
    made: list[TextTokens] = []
    for group in groups:
        count, width = group.input_ids.shape
        if width > tokens:
            raise InputError(
                f"grad_cache_tokens={tokens}: a text of this batch has {width} tokens; allow at least as many as the "
                "longest text"
            )
        for start in range(0, count, tokens // width):
            piece = TextTokens(*(field[start : start + tokens // width] for field in group))
            before = made[-1].input_ids.shape if made else (0, 0)
            if made and (before[0] + len(piece.input_ids)) * max(before[1], width) <= tokens:
                made[-1] = _joined(made[-1], piece)
            else:
                made.append(piece)
    return made


def _embed_queries(model: SplitModel, queries: TextTokens, tokens: int) -> Tensor:
    groups = micro_batches([queries], tokens)
    return torch.cat(_each_again_in_backward(model, model.embed_queries, groups))


def _embed_images(model: SplitModel, features: ImageFeatures, tokens: int | None) -> Embedded:
    """The images of a batch, so many at a time that their patches are at most ``tokens``."""
    reader, pixels = cast(ImageSplitModel, model), features.pixel_values
    if tokens is None:
        groups = [patches_as_tokens(pixels, reader.patches)]
        return Embedded(model.embed_queries(features.queries), [reader.embed_documents(pixels)], groups)
    if reader.patches > tokens:
        raise InputError(f"grad_cache_tokens={tokens}: an image has {reader.patches} patches; allow at least as many")
    queries = _embed_queries(model, features.queries, tokens)
    parts = pixels.split(tokens // reader.patches)
    images = _each_again_in_backward(reader, reader.embed_documents, parts)
    return Embedded(queries, images, [patches_as_tokens(each, reader.patches) for each in parts])


def _joined(first: TextTokens, second: TextTokens) -> TextTokens:
    width = max(first.input_ids.shape[1], second.input_ids.shape[1])
    fields = zip(first, second, strict=True)
    return TextTokens(*(torch.cat([pad(each, (0, width - each.shape[1])) for each in pair]) for pair in fields))


def _each_again_in_backward(
    model: object, encode: Callable[[Any], Tensor], groups: Sequence[TextTokens] | Sequence[Tensor]
) -> list[Tensor]:
    def encoded(tokens: TextTokens | Tensor) -> Tensor:
        # One graph with the loss, so that hooks on parameters (DDP's reduction) run once a step, not a micro-batch.
        return cast(Tensor, checkpoint(encode, tokens, use_reentrant=False, preserve_rng_state=True))

    return call_each(model, encoded, groups)
