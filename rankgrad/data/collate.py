"""Turns candidate lists into token batches without padded work; runs in the loader's workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.data._columns import Columns, all_columns, judged_of, own_columns, slots_of
from rankgrad.data.image_files import ImagePath
from rankgrad.data.image_reader import ImageReader
from rankgrad.data.records import CandidateList
from rankgrad.prompts import PromptTokenizer
from rankgrad.tokens import LateInteractionTokenizer, PairTokenizer, Tokens


class TextTokens(NamedTuple):
    """A padded group of token sequences.

    Shape:
        input_ids: int64 ``[rows, tokens]``.
        attention_mask: int64 ``[rows, tokens]``, 1 = the encoder attends to it.
        token_type_ids: int64 ``[rows, tokens]``, 1 = the second text of a pair.
        scored: bool ``[rows, tokens]``, True = takes part in MaxSim.
    """

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor
    scored: Tensor


class PairFeatures(NamedTuple):
    """The distinct (query, document) pairs of a batch, in groups of similar length.

    Shape:
        groups: every group has its own width.
        slots: int64 ``[queries, candidates]``: the row, counted through the groups, of each candidate; 0 where masked.
        mask: bool ``[queries, candidates]``, True = a real candidate; None where nobody said.
    """

    groups: list[TextTokens]
    slots: Tensor
    mask: Tensor | None = None


class LateInteractionFeatures(NamedTuple):
    """The queries of a batch, and its distinct documents in groups of similar length.

    Shape:
        queries: one row a list.
        documents: every group has its own width.
        slots: int64 ``[queries, candidates]``: the row, counted through the groups, of each candidate; 0 where masked.
            None: every document, in the order of the groups, is a candidate of every query.
    """

    queries: TextTokens
    documents: list[TextTokens]
    slots: Tensor | None


class ImageFeatures(NamedTuple):
    """The queries of a batch and its distinct images.

    Shape:
        queries: one row a list.
        pixel_values: float ``[images, 3, height, width]``, as the vision encoder wants them.
        slots: int64 ``[queries, candidates]``: the image of each candidate; 0 where masked. None: every image, in
            order, is a candidate of every query.
    """

    queries: TextTokens
    pixel_values: Tensor
    slots: Tensor | None = None


class ListBatch(NamedTuple):
    """What a model scores and a loss judges.

    Shape:
        labels: float32 ``[queries, candidates]``, 0 where masked.
        mask: bool ``[queries, candidates]``, True = a real candidate.
        teacher_scores: float32 ``[queries, candidates]``, 0 where masked, or None.
        judged: float32 ``[queries, judged]``, the grades of all judged documents padded with 0, or None where the
            candidates hold them all.
    """

    features: PairFeatures | LateInteractionFeatures | ImageFeatures
    labels: Tensor
    mask: Tensor
    teacher_scores: Tensor | None
    judged: Tensor | None = None


@dataclass(frozen=True)
class ListCollate:
    """Tokenizes a batch of candidate lists.

    A text that occurs more than once is tokenized and encoded once. The distinct rows are sorted by length and cut into
    groups, each as wide as its own longest row; ``slots`` leads back to the lists.

    Documents that are paths of pictures are opened here, so in the loader's workers, each of them once a batch.

    Args:
        tokenizer: of the model; it decides between pairs, late interaction, and late interaction with images.
        in_batch_negatives: let the documents of all lists be candidates of every query (late interaction only); columns
            are then the distinct documents in the order of the groups. A document that a list grades above 0 is no
            candidate of another list with the same query. Teacher scores are left out: no teacher saw those pairs.
        group_size: rows of a group.
        token_budget: tokens of a group instead, rows times the longest; a row that is longer is a group of its own.

    Raises:
        InputError: for in-batch negatives with pairs, a group size or token budget below 1, an empty batch, a batch in
            which only some lists have teacher scores, images where the model reads texts, or an image that cannot be
            read.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> tokenizer = Tokenizer(models.WordLevel({"Norway": 1, "Oslo": 2, "Rome": 3}, unk_token="Norway"))
        >>> collate = ListCollate(PairTokenizer(tokenizer, max_length=8, query_length=2))
        >>> batch = collate([CandidateList("Norway", ("Rome", "Oslo", "Rome"), (0.0, 1.0, 0.0))])
        >>> batch.features.groups[0].input_ids.tolist(), batch.features.slots.tolist()
        ([[1, 3], [1, 2]], [[0, 1, 0]])
    """

    tokenizer: PairTokenizer | PromptTokenizer | LateInteractionTokenizer | ImageReader
    in_batch_negatives: bool = False
    group_size: int = 8
    token_budget: int | None = None

    def __post_init__(self) -> None:
        if self.in_batch_negatives and isinstance(self.tokenizer, PairTokenizer | PromptTokenizer):
            raise InputError(
                "in_batch_negatives=True would score every query with every document of the batch, a forward pass a "
                "pair: use it with a late-interaction model, or give a cross-encoder more negatives"
            )
        if self.group_size < 1:
            raise InputError(f"group_size={self.group_size}: a group needs at least one row")
        if self.token_budget is not None and self.token_budget < 1:
            raise InputError(f"token_budget={self.token_budget}: a group needs at least one token")

    def __call__(self, lists: Sequence[CandidateList]) -> ListBatch:
        """Make one batch of the lists."""
        if not lists:
            raise InputError("an empty batch: pass at least one candidate list")
        if isinstance(self.tokenizer, PairTokenizer | PromptTokenizer):
            _refuse_images(lists)
            pairs = [[(one.query, document) for document in one.documents] for one in lists]
            distinct = list(dict.fromkeys(pair for row in pairs for pair in row))
            tokens = self.tokenizer([query for query, _ in distinct], [document for _, document in distinct])
            groups, place = self._grouped(tokens)
            columns = own_columns(lists)
            slots = slots_of(pairs, dict(zip(distinct, place, strict=True)))
            return _batch(lists, PairFeatures(groups, slots, columns.mask), columns)

        names = list(dict.fromkeys(document for one in lists for document in one.documents))
        queries = _queries(self.tokenizer, [one.query for one in lists])
        if isinstance(self.tokenizer, ImageReader):
            features, place = ImageFeatures(queries, self.tokenizer.images(names)), range(len(names))
        else:
            _refuse_images(lists)
            documents, place = self._grouped(self.tokenizer.documents(names))
            features = LateInteractionFeatures(queries, documents, None)
        row_of = dict(zip(names, place, strict=True))
        if self.in_batch_negatives:
            return _batch(lists, features, all_columns(lists, row_of))
        slots = slots_of([one.documents for one in lists], row_of)
        return _batch(lists, features._replace(slots=slots), own_columns(lists))

    def _grouped(self, tokens: Tokens) -> tuple[list[TextTokens], list[int]]:
        """The rows by length in groups, and the place of each row in that order."""
        order = np.argsort(tokens.lengths, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        ordered = Tokens(*(field[order] for field in tokens))
        if self.token_budget is None:
            groups = ordered.groups(self.group_size)
        else:
            cuts = _cuts(ordered.lengths, self.token_budget)
            runs = zip([0, *cuts], [*cuts, len(order)], strict=True)
            groups = [Tokens(*(field[start:end] for field in ordered)).trimmed() for start, end in runs]
        return [_as_tensors(group) for group in groups], place.tolist()


def _queries(tokenizer: LateInteractionTokenizer | ImageReader, texts: list[str]) -> TextTokens:
    """One row a text; one that occurs more than once is tokenized once."""
    distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    rows = [distinct[text] for text in texts]
    return _as_tensors(Tokens(*(field[rows] for field in tokenizer.queries(list(distinct)))))


def _cuts(lengths: np.ndarray, token_budget: int) -> list[int]:
    """Where rising lengths are cut so that rows times the longest keep within the budget."""
    cuts, start = [], 0
    for row, length in enumerate(lengths):
        if row > start and (row + 1 - start) * length > token_budget:
            cuts.append(row)
            start = row
    return cuts


def _as_tensors(tokens: Tokens) -> TextTokens:
    return TextTokens(*(torch.from_numpy(np.ascontiguousarray(field)) for field in tokens))


def _batch(
    lists: Sequence[CandidateList], features: PairFeatures | LateInteractionFeatures | ImageFeatures, columns: Columns
) -> ListBatch:
    return ListBatch(features, *columns, judged_of(lists))


def _refuse_images(lists: Sequence[CandidateList]) -> None:
    found = next((one for one in lists if isinstance(one.documents[0], ImagePath)), None)
    if found is not None:
        raise InputError(
            f"the list of query {found.query!r} holds images ({found.documents[0]}), and the model reads texts: train "
            "a rankgrad.models.ImageColBERT"
        )
