"""Does an exported graph say what the model says?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.export.files import longest
from rankgrad.export.onnx import Ranker
from rankgrad.export.probe import Shape, random_tokens, shapes
from rankgrad.models import CrossEncoder
from rankgrad.tokens import Tokens

Lists: TypeAlias = Sequence[tuple[str, Sequence[str]]]
"""Queries, each with the documents to rank for it."""


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
    is the largest change of a score between a run of its own and one run of the whole list; ``rankgrad.deploy`` runs
    int8 rows alone.
    """

    score_difference: float
    score_spread: float
    kendall_tau: float
    batch_dependence: float


def check_shapes(model: Ranker, graph: deploy.Graph, *, tolerance: float) -> list[ShapeParity]:
    """Compare a float graph with torch on random tokens of several shapes.

    Args:
        model: on the CPU, in float32 and eval mode.
        graph: the exported graph.
        tolerance: largest difference allowed, relative to the largest output (but at least 1).

    Raises:
        ParityError: naming the first shape that disagrees.
    """
    found = []
    for shape in shapes(longest(model)):
        tokens = random_tokens(model.tokenizer, shape)
        expected, got = torch_output(model, tokens), graph(tokens)
        difference = relative_difference(expected, got)
        if not difference <= tolerance:
            raise ParityError(
                f"the exported graph disagrees with torch at {shape}: outputs {expected.shape} and {got.shape}, "
                f"relative difference {difference:.2g}, tolerance {tolerance:.2g}; nothing is written"
            )
        found.append(ShapeParity(shape, difference))
    return found


def compare_scores(model: Ranker, exported: deploy.CrossEncoder | deploy.ColBERT, lists: Lists) -> ScoreParity:
    """Compare the scores of real texts, as the artifact will be used."""
    expected = [_torch_scores(model, query, documents) for query, documents in lists]
    got = [_exported_scores(exported, query, documents) for query, documents in lists]
    alone, together = (
        np.concatenate(
            [_exported_scores(exported, query, documents, size or len(documents)) for query, documents in lists]
        )
        for size in (1, None)
    )
    scores, finite = np.concatenate(expected), np.isfinite(np.concatenate(expected))
    return ScoreParity(
        score_difference=_largest(scores[finite] - np.concatenate(got)[finite]),
        score_spread=float(scores[finite].std()) if finite.any() else 0.0,
        kendall_tau=float(np.mean([kendall_tau(*both) for both in zip(expected, got, strict=True)])),
        batch_dependence=_largest(alone[finite] - together[finite]),
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


def torch_output(model: Ranker, tokens: Tokens) -> np.ndarray:
    """What torch gives for the inputs of the graph."""
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if isinstance(model, CrossEncoder) else [])]
    with torch.inference_mode():
        return model.forward_tokens(*(torch.from_numpy(getattr(tokens, name)) for name in names)).numpy()


def _torch_scores(model: Ranker, query: str, documents: Sequence[str]) -> np.ndarray:
    with torch.inference_mode():
        if isinstance(model, CrossEncoder):
            return model.score([query] * len(documents), documents).numpy()
        return model.score([query], model.encode_documents(documents))[0].numpy()


def _exported_scores(
    exported: deploy.CrossEncoder | deploy.ColBERT, query: str, documents: Sequence[str], batch_size: int | None = None
) -> np.ndarray:
    if isinstance(exported, deploy.CrossEncoder):
        return exported.score([query] * len(documents), documents, batch_size=batch_size)
    return exported.score([query], exported.encode_documents(documents, batch_size=batch_size))[0]


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0.0))
