"""Losses of other libraries that take scores and labels, in the form of the sum over lists."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from torch import Tensor

Call = Callable[[Tensor], Tensor]
"""From scores to the sum of the lists' losses."""


def allrank_lambda_loss(labels: Tensor) -> Call:
    """allRank's dense n x n, with the weights of NDCG-Loss2++."""
    loss = _allrank().lambdaLoss
    return lambda scores: loss(scores, labels, weighing_scheme="ndcgLoss2PP_scheme")


def allrank_approx_ndcg(labels: Tensor) -> Call:
    """allRank gives minus the mean of nDCG."""
    loss = _allrank().approxNDCGLoss
    return lambda scores: (1 + loss(scores, labels)) * len(labels)


def allrank_neural_ndcg(labels: Tensor) -> Call:
    """allRank gives minus the mean of nDCG; at most 50 iterations."""
    loss = _allrank().neuralNDCG
    return lambda scores: (1 + loss(scores, labels)) * len(labels)


def allrank_list_mle(labels: Tensor) -> Call:
    """allRank gives the mean over lists."""
    loss = _allrank().listMLE
    return lambda scores: loss(scores, labels) * len(labels)


def sentence_transformers_lambda_loss(labels: Tensor) -> Call:
    """Its loss takes texts and a model: here a model that answers with the scores given. It is the mean over pairs."""
    from sentence_transformers.cross_encoder.losses import LambdaLoss

    pairs = int((labels[:, :, None] > labels[:, None, :]).sum())
    texts = [[""] * len(labels), [[""] * labels.shape[1]] * len(labels)]
    rows = list(labels)

    def call(scores: Tensor) -> Tensor:
        loss = LambdaLoss(_Answers(scores), mini_batch_size=-1)  # pyright: ignore[reportArgumentType]
        return loss(texts, rows) * pairs

    return call


class _Answers:
    """What sentence-transformers' loss asks of a cross-encoder."""

    num_labels = 1

    def __init__(self, scores: Tensor) -> None:
        self.scores = scores
        self.device = scores.device

    def preprocess(self, pairs: object, *, prompt: str | None, task: str | None) -> dict[str, Tensor]:
        del pairs, prompt, task
        return {}

    def __call__(self, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"scores": self.scores}


def _allrank() -> ModuleType:
    """allRank's losses import how it reads data sets, which a loss never calls; names stand in for what that needs."""
    stand_ins = {
        "torchvision": ("transforms",),
        "torchvision.transforms": ("Compose",),
        "allrank.utils.file_utils": ("open_local_or_gs", "is_gs_path", "copy_file_to_local"),
    }
    added = [name for name in stand_ins if name not in sys.modules]
    for name in added:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__dict__.update(dict.fromkeys(stand_ins[name]))
    try:
        return import_module("allrank.models.losses")
    finally:
        for name in added:
            del sys.modules[name]
