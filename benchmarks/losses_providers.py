"""Who computes a loss: each provider turns labels into a call from scores to the sum of the lists' losses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks import losses_definitions as definitions
from benchmarks import losses_peers as peers
from benchmarks.losses_peers import Call
from benchmarks.show import OURS
from rankgrad.losses import approx_ndcg_loss, lambda_loss, list_mle_loss, neural_ndcg_loss

PLAIN = "plain torch"
_SEED = 0
_GRADES = 5


class Provider(NamedTuple):
    """Its name; the package it needs; ``prepare``, off the clock; how many matrices of a list's pairs it holds."""

    name: str
    package: str
    prepare: Callable[[Tensor], Call]
    matrices: int = 0


class Loss(NamedTuple):
    """One loss and who computes it; the first peer is what ours is compared with."""

    name: str
    definition: Callable[[Tensor, Tensor], Tensor]
    providers: tuple[Provider, ...]
    distinct_labels: bool = False


class Lists(NamedTuple):
    """``[batch, items]``: normal scores; grades 0 to 4, or labels without ties."""

    scores: Tensor
    labels: Tensor


def losses() -> tuple[Loss, ...]:
    """All that are measured."""
    iterations = 2 * definitions.ITERATIONS
    return (
        Loss(
            "LambdaLoss (NDCG-Loss2++)",
            definitions.lambda_loss,
            (
                _ours(partial(lambda_loss, mu=definitions.MU, reduction="sum")),
                Provider("allRank", "allrank", peers.allrank_lambda_loss, 12),
                Provider("sentence-transformers", "sentence_transformers", peers.sentence_transformers_lambda_loss, 12),
                _plain(definitions.lambda_loss, 8),
            ),
        ),
        Loss(
            "ApproxNDCG",
            definitions.approx_ndcg,
            (
                _ours(partial(approx_ndcg_loss, temperature=1.0, reduction="sum")),
                Provider("allRank", "allrank", peers.allrank_approx_ndcg, 8),
                _plain(definitions.approx_ndcg, 4),
            ),
        ),
        Loss(
            "NeuralNDCG (50 iterations)",
            definitions.neural_ndcg,
            (
                _ours(partial(neural_ndcg_loss, iterations=definitions.ITERATIONS, reduction="sum")),
                Provider("allRank", "allrank", peers.allrank_neural_ndcg, iterations + 8),
                _plain(definitions.neural_ndcg, iterations + 8),
            ),
        ),
        Loss(
            "ListMLE",
            definitions.list_mle,
            (
                _ours(partial(list_mle_loss, ties="lowest_index", reduction="sum")),
                Provider("allRank", "allrank", peers.allrank_list_mle),
                _plain(definitions.list_mle, 0),
            ),
            distinct_labels=True,
        ),
    )


def lists(loss: Loss, batch: int, items: int, device: str) -> Lists:
    """The same lists in every process."""
    generator = torch.Generator().manual_seed(_SEED)
    scores = torch.randn(batch, items, generator=generator)
    labels = torch.randint(0, _GRADES, (batch, items), generator=generator).float()
    labels[:, 0] = 1.0
    if loss.distinct_labels:
        labels = torch.rand(batch, items, generator=generator).argsort(dim=-1).float()
    return Lists(scores.to(device), labels.to(device))


def both_ways(provider: Provider, data: Lists) -> Callable[[], Tensor]:
    """A call of the loss and its gradient."""
    call = provider.prepare(data.labels)
    leaf = data.scores.detach().clone().requires_grad_()
    return lambda: torch.autograd.grad(call(leaf), leaf)[0]


def installed(provider: Provider) -> bool:
    """Is the package there? A line says so where it is not."""
    if find_spec(provider.package) is not None:
        return True
    print(f"skipped: {provider.name} (not installed)", flush=True)
    return False


def labelled(provider: Provider) -> str:
    """The name with the version of what is not ours."""
    if provider.package in ("rankgrad", "torch"):
        return provider.name
    return f"{provider.name} {version(provider.package.replace('_', '-'))}"


def _ours(loss: Callable[[Tensor, Tensor], Tensor]) -> Provider:
    return Provider(OURS, "rankgrad", lambda labels: lambda scores: loss(scores, labels))


def _plain(definition: Callable[[Tensor, Tensor], Tensor], matrices: int) -> Provider:
    name = f"{PLAIN}, dense" if matrices else PLAIN
    return Provider(name, "torch", lambda labels: lambda scores: definition(scores, labels), matrices)
