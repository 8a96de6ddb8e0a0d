"""The few inputs with torch's scores that a bundle carries, scored again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rankgrad._checks import InputError
from rankgrad.deploy.causal_reranker import CausalReranker
from rankgrad.deploy.colbert_reranker import ColBERTReranker
from rankgrad.deploy.cross_encoder import CrossEncoder
from rankgrad.deploy.feature_ranker import FeatureRanker
from rankgrad.deploy.text_model import TextModel


def sample_difference(model: TextModel | FeatureRanker, samples: Mapping[str, Any]) -> float:
    """Largest difference of the model's scores to the recorded ones, over the largest of these (but at least 1).

    Args:
        model: the loaded bundle.
        samples: ``lists``, each with ``scores`` and either ``query`` and ``documents``, or rows of ``features`` where
            None is a missing value.

    Raises:
        InputError: for samples that cannot be read.
    """
    try:
        pairs = [(_scores(model, each), np.array(each["scores"], dtype=np.float32)) for each in samples["lists"]]
        got, expected = (np.concatenate(part) for part in zip(*pairs, strict=True))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the recorded samples cannot be scored ({error}): copy or export the bundle again") from error
    if got.shape != expected.shape or not np.isfinite(got).all():
        return float("inf")
    return float(np.abs(got - expected).max() / max(1.0, np.abs(expected).max()))


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
