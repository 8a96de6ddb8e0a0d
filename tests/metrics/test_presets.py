"""The presets give the numbers of the libraries that they are named after."""

from __future__ import annotations

from math import log2

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad.metrics import DCG, LIGHTGBM, NDCG, RAX, AveragePrecision, Precision, Recall, ReciprocalRank

# Three of four scores tie; a masked item that would rank second; nothing relevant.
SCORES = torch.tensor([[0.5, 0.5, 0.9, 0.5], [3.0, 1.0, 2.0, 0.0], [0.1, 0.2, 0.3, 0.4]])
LABELS = torch.tensor([[1, 0, 0, 2], [0, 2, 1, 1], [0, 0, 0, 0]])
MASK = torch.tensor([[True] * 4, [True, True, False, True], [True] * 4])


@pytest.mark.parametrize(
    ("metric", "formula", "printed"),
    [
        (
            NDCG(k=2, **RAX.graded),
            [(1 / log2(3)) / (3 + 1 / log2(3)), (3 / log2(3)) / (3 + 1 / log2(3)), 0],
            [0.1737653, 0.5212961, 0.0],
        ),
        (
            NDCG(k=3, **RAX.graded),
            [(1 / log2(3)) / (3 + 1 / log2(3)), (3 / log2(3) + 1 / 2) / (3 + 1 / log2(3)), 0],
            [0.1737653, 0.6590018, 0.0],
        ),
        (DCG(k=3, gain=RAX.gain, ties=RAX.ties), [1 / log2(3), 3 / log2(3) + 1 / 2, 0], [0.6309298, 2.3927894, 0.0]),
        (AveragePrecision(k=3, **RAX.binary), [(1 / 2) / 2, (1 / 2 + 2 / 3) / 2, 0], [0.25, 0.5833334, 0.0]),
        (ReciprocalRank(k=2, **RAX.binary), [1 / 2, 1 / 2, 0], [0.5, 0.5, 0.0]),
        (Recall(k=2, **RAX.binary), [1 / 2, 1 / 2, 0], [0.5, 0.5, 0.0]),
        (Precision(k=2, ties=RAX.ties), [1 / 2, 1 / 2, 0], [0.5, 0.5, 0.0]),
    ],
)
def test_rax(metric: torch.nn.Module, formula: list[float], printed: list[float]) -> None:
    """``printed`` is what Rax 0.4.0 gives for the same lists: ``rax.ndcg_metric(scores, labels, where=, topn=)``."""
    found = metric(SCORES, LABELS, MASK)
    assert_close(found, torch.tensor(formula))
    assert_close(found, torch.tensor(printed), rtol=0, atol=1e-6)


def test_lightgbm() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 3, (8, 6), generator=generator).double()
    labels = torch.randint(0, 4, (8, 6), generator=generator)
    labels[0] = 0
    found = {name: _lightgbm(name, scores, labels) for name in ("ndcg", "map")}
    for k in (1, 3, 6):
        assert_close(NDCG(k=k, **LIGHTGBM.graded)(scores, labels), found["ndcg"][k])
    # Its map divides by no more than k relevant documents: the same where the whole list counts.
    assert_close(AveragePrecision(**LIGHTGBM.binary)(scores, labels), found["map"][6])
    assert (found["ndcg"][3][0], found["map"][6][0]) == (1, 1), "a list without relevant documents"


def _lightgbm(metric: str, scores: Tensor, labels: Tensor) -> dict[int, Tensor]:
    """LightGBM's own values a list: what it reports of given scores after a tree that adds nothing to them."""
    lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is compared with where it is installed")
    quiet = {"verbosity": -1, "num_threads": 1, "objective": "lambdarank", "metric": metric, "learning_rate": 1e-300}
    lists, items = scores.shape
    features = torch.arange(scores.numel()).double()[:, None].numpy()
    data = lightgbm.Dataset(features, label=labels.flatten().numpy(), group=[items] * lists, params=quiet)
    each = [
        lightgbm.Dataset(
            features[:items], label=own.numpy(), group=[items], init_score=given.numpy(), reference=data, params=quiet
        )
        for given, own in zip(scores, labels, strict=True)
    ]
    names = [f"list {place}" for place in range(lists)]
    values: dict[str, dict[str, list[float]]] = {}
    lightgbm.train(
        quiet | {"eval_at": [1, 3, 6]},
        data,
        num_boost_round=1,
        valid_sets=each,
        valid_names=names,
        callbacks=[lightgbm.record_evaluation(values)],
    )
    return {k: torch.tensor([values[name][f"{metric}@{k}"][0] for name in names]).double() for k in (1, 3, 6)}
