"""A fusion whose weights and decay are parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.fuse._fit import FusionFit, FusionMetric, fit_fusion
from rankgrad.fuse._fused import Weights, fuse
from rankgrad.fuse.align import Aligned
from rankgrad.fuse.judgements import Judgements
from rankgrad.fuse.normalise import normalise_clean
from rankgrad.losses import Loss
from rankgrad.ops import soft_rank
from rankgrad.types import Ranking

LearnedMethod: TypeAlias = Literal["reciprocal_rank", "rank_biased", "score_sum"]
# A weight of 0 has no logarithm; below this share a list is as good as left out.
_LEAST_WEIGHT = 1e-3


class LearnedFusion(nn.Module):
    r"""Reciprocal ranks, rank-biased centroids or a sum of scores with everything in them trained.

    ``s(d) = sum_l w_l f_l(d)`` over the lists that hold d, with ``w = softmax(weight_logits)``:

    - ``"reciprocal_rank"``: ``f = 1 / (k + r_l(d))``, ``k = exp(log_k)``;
    - ``"rank_biased"``: ``f = (1 - p) p^(r_l(d) - 1)``, ``p = sigmoid(persistence_logit)``;
    - ``"score_sum"``: ``f = sigmoid(z_l(d) / T_l)`` of the list's z-scores, ``T = exp(log_temperatures)``.

    With ``soft_ranks`` the ranks are soft ones (Laplace) of ``z_l / T_l``, so that gradients reach the scores of the
    stages before, and ``T_l`` says how sharply a list's scores rank. All is computed where the first ranking is.

    Args:
        lists: how many there are.
        method: see above.
        soft_ranks: of the first two methods; False takes places in the lists.
        weights: to start from; None = equal.
        k: to start from.
        persistence: to start from.
        temperature: to start from.

    Shape:
        :meth:`forward` gives ids, scores, mask ``[queries, documents]``, as wide as the largest union of a query.

    Raises:
        InputError: for less than one list, an unknown method, ``soft_ranks`` of ``"score_sum"``, a start out of range,
            or rankings that cannot be used.

    Reference:
        Trained through the soft ranks of a metric: Qin, Liu, Li: A general approximation framework for direct
        optimization of information retrieval measures, Information Retrieval 13, 2010.

    Example:
        >>> real = torch.ones(1, 2, dtype=torch.bool)
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), real)
        >>> other = Ranking(torch.tensor([[3, 5]]), torch.tensor([[0.5, 0.4]]), real)
        >>> fusion = LearnedFusion(2, weights=(3, 1))
        >>> fusion([one, other]).ids, fusion.weights.detach()
        (tensor([[3, 7, 5]]), tensor([0.7500, 0.2500]))
    """

    def __init__(
        self,
        lists: int,
        *,
        method: LearnedMethod = "reciprocal_rank",
        soft_ranks: bool = False,
        weights: Weights = None,
        k: float = 60.0,
        persistence: float = 0.9,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if lists < 1:
            raise InputError(f"lists: expected at least 1, got {lists}")
        if method not in get_args(LearnedMethod):
            raise InputError(f"method: expected one of {', '.join(get_args(LearnedMethod))}, got {method!r}")
        if soft_ranks and method == "score_sum":
            raise InputError('soft_ranks: method="score_sum" takes scores, which have a gradient already: leave it out')
        self.lists, self.soft_ranks = lists, soft_ranks
        self.method: LearnedMethod = method
        self.weight_logits = nn.Parameter(torch.zeros(lists))
        self.log_k = nn.Parameter(torch.zeros(())) if method == "reciprocal_rank" else None
        self.persistence_logit = nn.Parameter(torch.zeros(())) if method == "rank_biased" else None
        scaled = soft_ranks or method == "score_sum"
        self.log_temperatures = nn.Parameter(torch.zeros(lists)) if scaled else None
        self.set(weights=weights, k=k, persistence=persistence, temperature=temperature)

    @property
    def weights(self) -> Tensor:
        """Of the lists; they sum to 1."""
        return self.weight_logits.softmax(dim=0)

    @property
    def k(self) -> Tensor | None:
        """The decay of reciprocal ranks; None for other methods."""
        return None if self.log_k is None else self.log_k.exp()

    @property
    def persistence(self) -> Tensor | None:
        """The decay of rank-biased centroids; None for other methods."""
        return None if self.persistence_logit is None else self.persistence_logit.sigmoid()

    @property
    def temperatures(self) -> Tensor | None:
        """What divides the z-scores of each list; None where they are not looked at."""
        return None if self.log_temperatures is None else self.log_temperatures.exp()

    @torch.no_grad()
    def set(
        self,
        *,
        weights: Weights = None,
        k: float | None = None,
        persistence: float | None = None,
        temperature: float | None = None,
    ) -> None:
        """Put the parameters where they give these values; None leaves one (weights: equal) as it is.

        What the method does not have is not looked at. A weight below a thousandth of the whole becomes one.

        Raises:
            InputError: for weights of another number than lists, or none above 0, or a value out of range.
        """
        if weights is None:
            self.weight_logits.zero_()
        else:
            found = torch.as_tensor(weights, dtype=self.weight_logits.dtype, device=self.weight_logits.device)
            if found.shape != (self.lists,) or not bool((found >= 0).all() and 0 < found.sum() < torch.inf):
                raise InputError(f"weights: expected {self.lists} numbers of at least 0, one of them above 0")
            self.weight_logits.copy_((found / found.sum()).clamp(min=_LEAST_WEIGHT).log())
        if self.log_k is not None and k is not None:
            _check_range(k, "k", 0.0, float("inf"))
            self.log_k.fill_(k).log_()
        if self.persistence_logit is not None and persistence is not None:
            _check_range(persistence, "persistence", 0.0, 1.0)
            self.persistence_logit.fill_(persistence).logit_()
        if self.log_temperatures is not None and temperature is not None:
            _check_range(temperature, "temperature", 0.0, float("inf"))
            self.log_temperatures.fill_(temperature).log_()

    def contributions(self, aligned: Aligned) -> Tensor:
        """What each list adds to each document, ``[queries, lists, documents]``.

        Raises:
            InputError: for another number of lists.
        """
        if aligned.scores.shape[1] != self.lists:
            raise InputError(f"rankings: this fusion is of {self.lists} lists, got {aligned.scores.shape[1]}")
        values = self._values(aligned) * aligned.held
        return self.weights.to(values).unsqueeze(1) * values

    def forward(self, rankings: Sequence[Ranking]) -> Ranking:
        return fuse(rankings, self.contributions)

    def fit(
        self,
        rankings: Sequence[Ranking],
        judgements: Judgements,
        *,
        validation: tuple[Sequence[Ranking], Judgements] | None = None,
        loss: Loss | None = None,
        metric: FusionMetric | None = None,
        steps: int = 100,
        learning_rate: float = 0.05,
        grid: bool = True,
    ) -> FusionFit:
        """Train the parameters; they end where the validation metric was best, the best of a small grid included.

        A grid of weights and decays is tried first, the best point of it is where gradients begin. Fused scores are
        standardised within each query for the loss, so that its temperatures mean the same for every method.

        Args:
            rankings: one a list, of the training queries; no gradient reaches them.
            judgements: of these queries.
            validation: rankings and judgements to choose by; None = the training ones.
            loss: any of :mod:`rankgrad.losses`; None = ``ApproxNDCG()``.
            metric: any of :mod:`rankgrad.metrics` that takes ``judged``; None = ``NDCG(k=10)``.
            steps: of Adam, each over all training queries.
            learning_rate: of Adam.
            grid: False starts from the parameters as they are.

        Raises:
            InputError: for another number of lists, steps below 0, queries without a relevant document throughout, or
                rankings or judgements that cannot be used.
        """
        return fit_fusion(
            self,
            (rankings, judgements),
            validation,
            loss=loss,
            metric=metric,
            steps=steps,
            learning_rate=learning_rate,
            grid=grid,
        )

    def extra_repr(self) -> str:
        """The method and the weights, for ``print``."""
        weights = ", ".join(f"{weight:.3f}" for weight in self.weights.tolist())
        return f"method={self.method}, weights=({weights})"

    def _values(self, aligned: Aligned) -> Tensor:
        if self.log_temperatures is None:
            ranks = aligned.ranks
        else:
            scaled = normalise_clean(aligned.scores, aligned.held, method="z_score")
            scaled = scaled / self.log_temperatures.exp().to(scaled).unsqueeze(1)
            if self.method == "score_sum":
                return scaled.sigmoid()
            ranks = soft_rank(scaled, temperature=1.0, method="laplace", mask=aligned.present)
        ranks = ranks + (1 - aligned.held)
        if self.persistence_logit is not None:
            persistence = self.persistence_logit.sigmoid().to(ranks)
            return (1 - persistence) * persistence ** (ranks - 1)
        return 1 / ((0.0 if self.log_k is None else self.log_k.exp().to(ranks)) + ranks)


def _check_range(value: float, name: str, low: float, high: float) -> None:
    if not low < value < high:
        raise InputError(f"{name}: expected a number above {low} and below {high}, got {value}")
