"""Does an exported graph say what the model says?"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from torch import nn

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.deploy.colbert_reranker import QueriesAndDocuments
from rankgrad.deploy.samples import kendall_tau, list_scores
from rankgrad.deploy.text_model import TextModel
from rankgrad.export.onnx import Ranker
from rankgrad.export.probe import Shape
from rankgrad.export.subject import Subject, ranker_of
from rankgrad.export.token_inputs import token_probes
from rankgrad.models import CrossEncoder, SparseEncoder
from rankgrad.tokens import Tokens

Lists: TypeAlias = Sequence[tuple[str, Sequence[str]]]
"""Queries, each with the documents to rank for it."""


DEPENDENCE_DOCUMENTS = 64


class ParityError(InputError):
    """An exported graph disagrees with its model."""


class ShapeParity(NamedTuple):
    """How far a graph is from torch on one shape, relative to the largest output (but at least 1)."""

    shape: Shape
    difference: float


class ScoreParity(NamedTuple):
    """How a graph ranks real texts, beside torch.

    ``score_difference`` is the largest difference of a score, to be seen against ``score_spread``, the standard
    deviation of torch's scores; ``relative_difference`` is it over the largest score (but at least 1), infinite where
    only one of the two is finite. Of a model that cuts terms by their rank it is that of nine documents in ten: between
    two terms of nearly the same weight rounding decides. ``kendall_tau`` is the mean agreement of the orders, 1 = the
    same. ``batch_dependence`` is the largest change of a score between a run of its own and one run of the whole list,
    ``padding_dependence`` between a run of its own and the same row padded to the longest of the list;
    ``rankgrad.deploy`` runs int8 rows alone and unpadded. Both are of the first lists, up to 64 documents.
    """

    score_difference: float
    relative_difference: float
    score_spread: float
    kendall_tau: float
    batch_dependence: float
    padding_dependence: float


def check_shapes(model: Ranker | Subject, graph: deploy.Graph, *, tolerance: float) -> list[ShapeParity]:
    """Compare a float graph with torch on random tokens of several shapes.

    Args:
        model: on the CPU, in float32 and eval mode.
        graph: the exported graph.
        tolerance: largest difference allowed, relative to the largest output (but at least 1).

    Raises:
        ParityError: naming the first shape that disagrees.
    """
    found = []
    for shape, rows in token_probes(model) if isinstance(model, nn.Module) else model.probes():
        expected, got = torch_output(model, rows), graph(rows)
        difference = relative_difference(expected, got)
        where = f"the exported graph disagrees with torch at {shape}: outputs {expected.shape} and {got.shape},"
        require_agreement(difference, tolerance, where)
        found.append(ShapeParity(shape, difference))
    return found


def require_agreement(difference: float, tolerance: float, where: str) -> None:
    """Refuse a relative difference above the tolerance, or none that is a number.

    Args:
        difference: what was found.
        tolerance: what is allowed.
        where: how the message begins, up to the numbers.

    Raises:
        ParityError: with all three.

    Example:
        >>> require_agreement(0.5, 1e-5, "here:")
        Traceback (most recent call last):
        ...
        rankgrad.export.parity.ParityError: here: relative difference 0.5, tolerance 1e-05; nothing is written
    """
    if not difference <= tolerance:
        raise ParityError(
            f"{where} relative difference {difference:.2g}, tolerance {tolerance:.2g}; nothing is written"
        )


def compare_scores(model: Ranker | Subject, exported: TextModel, lists: Lists) -> ScoreParity:
    """Compare the scores of real texts, as the artifact will be used."""
    expected = [_torch_scores(model, query, documents) for query, documents in lists]
    got = [list_scores(exported, query, documents) for query, documents in lists]
    few = _first_lists(lists)
    alone, together = (
        np.concatenate(
            [list_scores(exported, query, documents, batch_size=size or len(documents)) for query, documents in few]
        )
        for size in (1, None)
    )
    padded = np.concatenate([_padded_scores(exported, query, documents) for query, documents in few])
    scores, exported_scores = np.concatenate(expected), np.concatenate(got)
    finite = np.isfinite(scores)
    known = finite[: len(alone)]
    return ScoreParity(
        score_difference=_largest(scores[finite] - exported_scores[finite]),
        relative_difference=_relative(scores, exported_scores, most=cuts_terms(model)),
        score_spread=float(scores[finite].std()) if finite.any() else 0.0,
        kendall_tau=float(np.mean([kendall_tau(*both) for both in zip(expected, got, strict=True)])),
        batch_dependence=_largest(alone[known] - together[known]),
        padding_dependence=_largest(alone[known] - padded[known]),
    )


def cuts_terms(model: Ranker | Subject) -> bool:
    """Does a model keep the terms of the largest weights and drop the others?"""
    ranker = ranker_of(model)
    return isinstance(ranker, SparseEncoder) and any(ranker.top_k.values())


def relative_difference(expected: np.ndarray, got: np.ndarray) -> float:
    """Largest difference over the largest expected value (but at least 1).

    Infinite where the shapes differ, or where only one of the two is finite.
    """
    finite = np.isfinite(expected)
    if expected.shape != got.shape or not np.array_equal(finite, np.isfinite(got)):
        return float("inf")
    return _largest(expected[finite] - got[finite]) / max(1.0, _largest(expected[finite]))


def torch_output(model: Ranker | Subject, tokens: Any) -> np.ndarray:
    """What torch gives for the inputs of the graph."""
    if not isinstance(model, nn.Module):
        return model.expected(tokens)
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if isinstance(model, CrossEncoder) else [])]
    with torch.inference_mode():
        return model.forward_tokens(*(torch.from_numpy(getattr(tokens, name)) for name in names)).numpy()


def _torch_scores(model: Ranker | Subject, query: str, documents: Sequence[str]) -> np.ndarray:
    if not isinstance(model, nn.Module):
        return model.scores(query, documents)
    with torch.inference_mode():
        if isinstance(model, CrossEncoder):
            return model.score([query] * len(documents), documents).numpy()
        return model.score([query], model.encode_documents(documents))[0].numpy()


def _padded_scores(exported: TextModel, query: str, documents: Sequence[str]) -> np.ndarray:
    """Scores of documents that are run one by one, each padded to the longest."""
    if isinstance(exported, deploy.ColBERTReranker):
        asked, tokens = exported.tokenizer.queries([query]), exported.tokenizer.documents(documents)
        rows = [Tokens(*(field[[row]] for field in tokens)) for row in range(len(documents))]
        return np.concatenate([exported.graph(QueriesAndDocuments.of(asked, row))[0] for row in rows])
    wide = copy.copy(exported)
    wide.graph = cast(deploy.Graph, _Padded(exported.graph))
    return list_scores(wide, query, documents, batch_size=1)


def _relative(expected: np.ndarray, got: np.ndarray, *, most: bool) -> float:
    """:func:`relative_difference`, or that which nine in ten do not exceed."""
    largest = relative_difference(expected, got)
    if not most or not np.isfinite(largest):
        return largest
    finite = np.isfinite(expected)
    differences = np.abs(expected - got)[finite] / max(1.0, _largest(expected[finite]))
    return float(np.quantile(differences, 0.9, method="lower")) if finite.any() else largest


def _first_lists(lists: Lists) -> Lists:
    """The first list, and those behind it that leave the documents within ``DEPENDENCE_DOCUMENTS``."""
    ends = np.cumsum([len(documents) for _, documents in lists])
    return lists[: max(1, int(np.searchsorted(ends, DEPENDENCE_DOCUMENTS, side="right")))]


class _Padded:
    """A graph that runs each row by itself, without taking its padding off."""

    def __init__(self, graph: deploy.Graph) -> None:
        self._graph = graph
        self.batch_size = graph.batch_size

    def __call__(self, rows: Any) -> np.ndarray:
        return self._graph(rows)

    def batches(self, tokens: Tokens, *, batch_size: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for row in range(len(tokens.input_ids)):
            yield np.array([row]), self._graph(Tokens(*(field[[row]] for field in tokens)))


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0.0))
