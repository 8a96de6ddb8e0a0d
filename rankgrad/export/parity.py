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
from rankgrad.deploy.samples import list_scores
from rankgrad.deploy.text_model import TextModel
from rankgrad.export.onnx import Ranker
from rankgrad.export.probe import Shape
from rankgrad.export.subject import Subject
from rankgrad.export.token_inputs import token_probes
from rankgrad.models import CrossEncoder
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
    deviation of torch's scores. ``kendall_tau`` is the mean agreement of the orders, 1 = the same. ``batch_dependence``
    is the largest change of a score between a run of its own and one run of the whole list, ``padding_dependence``
    between a run of its own and the same row padded to the longest of the list; ``rankgrad.deploy`` runs int8 rows
    alone and unpadded. Both are of the first lists, up to 64 documents.
    """

    score_difference: float
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
        if not difference <= tolerance:
            raise ParityError(
                f"the exported graph disagrees with torch at {shape}: outputs {expected.shape} and {got.shape}, "
                f"relative difference {difference:.2g}, tolerance {tolerance:.2g}; nothing is written"
            )
        found.append(ShapeParity(shape, difference))
    return found


def compare_scores(model: Ranker | Subject, exported: TextModel, lists: Lists) -> ScoreParity:
    """Compare the scores of real texts, as the artifact will be used."""
    expected = [_torch_scores(model, query, documents) for query, documents in lists]
    got = [list_scores(exported, query, documents) for query, documents in lists]
    few = _first_lists(lists)
    wide = copy.copy(exported)
    wide.graph = cast(deploy.Graph, _Padded(exported.graph))
    alone, together, padded = (
        np.concatenate(
            [list_scores(model, query, documents, batch_size=size or len(documents)) for query, documents in few]
        )
        for model, size in ((exported, 1), (exported, None), (wide, 1))
    )
    scores, finite = np.concatenate(expected), np.isfinite(np.concatenate(expected))
    known = finite[: len(alone)]
    return ScoreParity(
        score_difference=_largest(scores[finite] - np.concatenate(got)[finite]),
        score_spread=float(scores[finite].std()) if finite.any() else 0.0,
        kendall_tau=float(np.mean([kendall_tau(*both) for both in zip(expected, got, strict=True)])),
        batch_dependence=_largest(alone[known] - together[known]),
        padding_dependence=_largest(alone[known] - padded[known]),
    )


def kendall_tau(first: np.ndarray, second: np.ndarray) -> float:
    """Agreement of two orders: pairs in the same order less pairs in the opposite one, over all but the tied (tau-b).

    Shape:
        - first, second: ``[items]``

    Returns:
        between -1 and 1; 1 where both tie everything, 0 where only one does.

    Reference:
        M. G. Kendall, "The Treatment of Ties in Ranking Problems", Biometrika 1945.

    Example:
        >>> round(kendall_tau(np.array([3.0, 2.0, 1.0]), np.array([3.0, 1.0, 2.0])), 4)
        0.3333
    """
    row, column = np.triu_indices(len(first), k=1)
    one, two = (np.sign(scores[row] - scores[column]) for scores in (first, second))
    said = np.sqrt(np.count_nonzero(one) * np.count_nonzero(two))
    return float((one * two).sum() / said) if said else float(np.array_equal(one, two))


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
