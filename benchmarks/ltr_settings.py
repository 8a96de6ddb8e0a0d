"""What is compared: losses, and the settings among which validation chooses."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

from torch import nn

from rankgrad.losses import (
    ApproxNDCG,
    LambdaLoss,
    ListMLELoss,
    NeuralNDCG,
    PiRank,
    PointwiseMSELoss,
    RankNetLoss,
    SoftmaxLoss,
    UniqueSoftmaxLoss,
)

LOSSES: dict[str, nn.Module] = {
    "softmax": SoftmaxLoss(),
    "unique softmax": UniqueSoftmaxLoss(),
    "ListMLE": ListMLELoss(),
    "RankNet": RankNetLoss(),
    "LambdaRank": LambdaLoss(weighting="lambda_rank"),
    "NDCG-Loss2++": LambdaLoss(weighting="ndcg_loss2++"),
    "ApproxNDCG": ApproxNDCG(temperature=0.1),
    "NeuralNDCG": NeuralNDCG(iterations=5),
    "PiRank": PiRank(temperature=1.0),
    "mean squared error": PointwiseMSELoss(),
}


@dataclass(frozen=True)
class Network:
    """How a :class:`rankgrad.models.FeatureRanker` is made and trained; ``average`` is of the weights over steps."""

    transform: Literal["bins", "log1p_standardise"] = "bins"
    bins: int = 8
    hidden: tuple[int, ...] = (64,)
    dropout: float = 0.5
    attention_layers: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    average: float = 0.98
    batch: int = 16
    epochs: int = 60
    patience: int = 15

    @property
    def name(self) -> str:
        widths = "-".join(map(str, self.hidden))
        bins = f"{self.bins} " if self.transform == "bins" else ""
        return f"{bins}{self.transform}, layers {widths}, dropout {self.dropout:g}, rate {self.learning_rate:g}"


@dataclass(frozen=True)
class Tree:
    """How trees are grown: at most so many leaves, each of at least so many rows."""

    learning_rate: float
    leaves: int
    rows: int
    rounds: int = 500
    patience: int = 50

    @property
    def name(self) -> str:
        return f"{self.leaves} leaves of {self.rows} rows, rate {self.learning_rate:g}"


# Chosen among more by validation alone: docs/learning_to_rank.md.
_FEW = (Network(), Network(hidden=(256, 128)))
_MANY = (Network(bins=32, hidden=(256, 128), learning_rate=3e-3, batch=64, epochs=30, patience=8),)
# From so many training queries on a network may be larger, and a step takes more of them.
_MANY_QUERIES = 500
_TREES = tuple(Tree(*each) for each in product((0.05, 0.1), (7, 15, 31, 63), (5, 50)))


def networks(queries: int, *, quick: bool) -> list[Network]:
    """The settings of a neural ranker for so many training queries."""
    if quick:
        return [Network(hidden=(16,), epochs=1)]
    return list(_MANY if queries >= _MANY_QUERIES else _FEW)


def trees(*, quick: bool) -> list[Tree]:
    """The settings of trees."""
    return [Tree(0.1, 7, 5, rounds=5)] if quick else list(_TREES)
