"""Ordering the documents of one query with a bundle or a trained model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from rankgrad._checks import InputError
from rankgrad.cli._lengths import cut_texts
from rankgrad.cli._load import is_bundle, load_bundle, load_bundle_ranker, load_trained
from rankgrad.cli._show import Found, note
from rankgrad.types import Variant

if TYPE_CHECKING:
    import numpy as np

    from rankgrad.cli._lengths import Tokenizer
    from rankgrad.cli._load import BundleModel, BundleRanker, TrainedModel

Ranker: TypeAlias = Callable[[str, Sequence[Found]], list[Found]]
Scored: TypeAlias = list[tuple[int, float]]


def load_ranker(folder: Path, variant: Variant | None = None) -> Ranker:
    """Open a bundle or a trained model folder; a bundle ranks without torch.

    Returns:
        a function from a query and documents to the documents in order, the best first; it says on standard error what
        the model cannot read.

    Raises:
        InputError: for a folder that holds no ranker, damaged files, or a variant of something that is no bundle.
        MissingExtraError: for a library that is not installed.
    """
    return ranker_of(open_model(folder, variant))


def open_ranker(folder: Path, variant: Variant | None = None) -> BundleRanker | TrainedModel:
    """As :func:`open_model`, or a ColBERT that is one graph from tokens to scores."""
    return load_bundle_ranker(folder, variant or "fp32") if is_bundle(folder) else open_model(folder, variant)


def variants_of(folders: Sequence[Path], variant: Variant | None) -> dict[Path, Variant | None]:
    """Which graph of each folder: the one that is asked for is asked of all bundles, and of nothing else.

    Raises:
        InputError: for a variant where no folder is given.
    """
    if variant is None:
        return dict.fromkeys(folders)
    if not folders:
        raise InputError(f"--variant {variant} is a graph of a bundle: give one with --model, or leave it out")
    bundles = [folder for folder in folders if is_bundle(folder)]
    return {folder: variant if folder in bundles or not bundles else None for folder in folders}


def open_model(folder: Path, variant: Variant | None = None) -> BundleModel | TrainedModel:
    """Open a bundle or a trained model folder.

    Raises:
        InputError: for a folder that holds no ranker, damaged files, or a variant of something that is no bundle.
        MissingExtraError: for a library that is not installed.
    """
    if is_bundle(folder):
        return load_bundle(folder, variant or "fp32")
    if variant is not None:
        raise InputError(
            f"--variant {variant}: {folder} is no bundle; make one with `rankgrad export {folder} --out ...`"
        )
    return load_trained(folder)


def ranker_of(model: BundleRanker | TrainedModel) -> Ranker:
    """What orders documents by the model; see :func:`load_ranker`."""
    # What was exported orders documents itself.
    rerank = getattr(model, "rerank", None)
    score = (
        partial(_score_with_torch, cast("TrainedModel", model))
        if rerank is None
        else partial(_score_without_torch, rerank)
    )
    return partial(_rank, model.tokenizer, score)


def _rank(
    tokenizer: Tokenizer,
    score: Callable[[str, list[str]], Scored],
    query: str,
    found: Sequence[Found],
) -> list[Found]:
    texts = [row.text for row in found]
    cut = cut_texts(tokenizer, query, texts, [f"document {row.name}" for row in found])
    if cut:
        note(cut)
    return [found[row]._replace(score=value) for row, value in score(query, texts)]


def _score_without_torch(rerank: Callable, query: str, texts: list[str]) -> Scored:
    return [(result.index, float(result.score)) for result in rerank(query, texts)]


def _score_with_torch(model: TrainedModel, query: str, texts: list[str]) -> Scored:
    from rankgrad.deploy.results import best_first, score_distinct

    # As a bundle does: copies of a text are one candidate, and of equal scores the lowest index comes first.
    scores = score_distinct(texts, partial(_torch_scores, model, query))
    return [(result.index, result.score) for result in best_first(texts, scores, None)]


def _torch_scores(model: TrainedModel, query: str, texts: list[str]) -> np.ndarray:
    """Scores of one query's documents: float32 ``[documents]``."""
    import torch

    from rankgrad.models import ColBERT
    from rankgrad.rerank import CrossEncoderReranker, LateInteractionReranker
    from rankgrad.types import Ranking

    count = len(texts)
    every = Ranking(torch.arange(count)[None], torch.zeros(1, count), torch.ones(1, count, dtype=torch.bool))
    with torch.inference_mode():
        if isinstance(model, ColBERT):
            ranking = LateInteractionReranker(model, texts, k=count)([query], every)
        else:
            ranking = CrossEncoderReranker(model, texts, k=count)([query], every)
    return ranking.scores[0, ranking.ids[0].argsort()].float().numpy()
