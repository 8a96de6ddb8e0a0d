"""The few inputs with torch's scores that a bundle carries, scored again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rankgrad._checks import InputError
from rankgrad.deploy.causal_reranker import CausalReranker
from rankgrad.deploy.colbert_reranker import ColBERTReranker
from rankgrad.deploy.cross_encoder import CrossEncoder
from rankgrad.deploy.feature_ranker import FeatureRanker
from rankgrad.deploy.text_model import TextModel

# A mean of agreements may fall short of the bound that it equals by the rounding of its last digit.
TAU_ROUNDING = 1e-9


class SampleParity(NamedTuple):
    """How far scores are from the recorded ones.

    ``difference`` is the largest, over the largest recorded score (but at least 1), and infinite where only one of the
    two is finite; ``agreement`` the mean Kendall tau of the orders, 1 = the same.
    """

    difference: float
    agreement: float


def compare_samples(model: TextModel | FeatureRanker, samples: Mapping[str, Any]) -> SampleParity:
    """Score the recorded samples again.

    Args:
        model: the loaded bundle.
        samples: ``lists``, each with ``scores`` and either ``query`` and ``documents``, or rows of ``features`` where
            None is a missing value.

    Raises:
        InputError: for samples that cannot be read.
    """
    try:
        pairs = [(_scores(model, each), np.array(each["scores"], dtype=np.float32)) for each in samples["lists"]]
        if any(one.shape != other.shape for one, other in pairs):
            return SampleParity(float("inf"), -1.0)
        got, expected = (np.concatenate(part) for part in zip(*pairs, strict=True))
        agreement = float(np.mean([kendall_tau(*both) for both in pairs]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"the recorded samples cannot be scored ({error}): copy or export the bundle again") from error
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(got)):
        return SampleParity(float("inf"), agreement)
    scale = max(1.0, np.abs(expected[finite]).max(initial=0.0))
    return SampleParity(float(np.abs(got[finite] - expected[finite]).max(initial=0.0) / scale), agreement)


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
    # Compared, not subtracted: a document without a token that counts scores -inf, as the next one may.
    pairs = ((scores[row], scores[column]) for scores in (first, second))
    one, two = ((ahead > behind).astype(int) - (ahead < behind) for ahead, behind in pairs)
    said = np.sqrt(np.count_nonzero(one) * np.count_nonzero(two))
    return float((one * two).sum() / said) if said else float(np.array_equal(one, two))


def list_scores(model: TextModel, query: str, documents: Sequence[str], *, batch_size: int | None = None) -> np.ndarray:
    """Scores of one query's documents, by whichever way the model has: float32 ``[documents]``.

    Args:
        model: the loaded bundle.
        query: what is looked for.
        documents: the candidates.
        batch_size: documents of one run; None takes the model's own.
    """
    if isinstance(model, CrossEncoder | CausalReranker):
        return model.score([query] * len(documents), documents, batch_size=batch_size)
    if isinstance(model, ColBERTReranker):
        return model.score([query], documents, batch_size=batch_size)[0]
    encoder: Any = model
    return encoder.score([query], encoder.encode_documents(documents, batch_size=batch_size))[0]


def _scores(model: TextModel | FeatureRanker, sample: Mapping[str, Any]) -> np.ndarray:
    if isinstance(model, FeatureRanker):
        rows = np.array([[np.nan if value is None else value for value in row] for row in sample["features"]])
        return model.score([rows.astype(np.float32)])[0]
    return list_scores(model, sample["query"], sample["documents"])
