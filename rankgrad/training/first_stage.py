"""How much a reranker should listen to the stage before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite

import torch

from rankgrad._checks import InputError
from rankgrad._modes import frozen
from rankgrad.data import Task
from rankgrad.metrics import ndcg
from rankgrad.rerank import CrossEncoderReranker, LateInteractionReranker
from rankgrad.rerank._splice import plus_incoming
from rankgrad.types import Queries, Ranking

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2)


def fit_first_stage_weight(
    stage: CrossEncoderReranker | LateInteractionReranker,
    first_stage: Callable[[Queries], Ranking],
    task: Task,
    *,
    weights: Sequence[float] = WEIGHTS,
) -> float:
    """Choose the weight of the incoming score by nDCG@10 on validation queries, and set it on the stage.

    The model scores every candidate once; the weights are tried on those scores.

    Args:
        stage: a reranker over the task's documents.
        first_stage: what comes before it.
        task: validation queries; never those that will be measured.
        weights: what to choose from; among equals the first wins.

    Returns:
        The weight, which is also ``stage.first_stage_weight`` now.

    Raises:
        InputError: for no weights or one that is no number, or documents other than the stage's.
    """
    if not weights:
        raise InputError("no weights given: pass at least one")
    if not all(map(isfinite, weights)):
        raise InputError(f"weights={list(weights)}: pass finite numbers")
    if tuple(stage.documents) != tuple(task.documents.texts):
        raise InputError(f"the stage reranks other documents than those of {task.name}: build it on task.documents")
    incoming = first_stage(task.queries.texts)
    head = Ranking(*(field[:, : stage.k] for field in incoming))
    stage.first_stage_weight = 0.0
    with frozen(stage):
        scored = stage(task.queries.texts, head)
    # Back from the stage's order to the incoming one, where both scores of a document stand side by side.
    place = (head.ids.unsqueeze(-1) == scored.ids.unsqueeze(-2)).int().argmax(-1)
    own = scored.scores.gather(1, place)
    labels, judged = task.labels(head), task.judged()
    given = head.scores.masked_fill(~head.mask, 0.0)
    values = [
        float(ndcg(plus_incoming(own, given, weight), labels, head.mask, k=10, judged=judged).mean())
        for weight in weights
    ]
    stage.first_stage_weight = weights[int(torch.tensor(values).argmax())]
    return stage.first_stage_weight
