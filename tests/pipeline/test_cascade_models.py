"""Cascades of real stages, and as models that a Ranker trains."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from rankgrad._checks import InputError
from rankgrad.data.feature_lists import FeatureLists
from rankgrad.losses import ApproxNDCG, LCRONLoss
from rankgrad.metrics import NDCG
from rankgrad.pipeline import (
    CandidateLists,
    Cascade,
    CascadeLoss,
    CascadeModel,
    CascadeScores,
    FeatureCascade,
    FeatureStage,
    whole_lists,
)
from rankgrad.rerank import CrossEncoderReranker, LateInteractionReranker, OneVectorTokens
from rankgrad.retrieve import BM25, LearnableBM25
from rankgrad.training import Ranker, quiet_lightning

DOCUMENTS = (
    "return the number of items",
    "open a file and read",
    "sort the values of a list",
    "raise an error",
    "join several strings and sort",
    "return a list of lines",
)
QUERIES = ["sort a list", "read a file and return lines"]


def test_texts_train_through_every_kind_of_stage(tiny_ranker: Callable[[str], Any]) -> None:
    colbert, cross_encoder = deepcopy(tiny_ranker("colbert")), deepcopy(tiny_ranker("cls"))
    stages = [
        LearnableBM25(DOCUMENTS),
        LateInteractionReranker(colbert, DOCUMENTS),
        CrossEncoderReranker(cross_encoder, DOCUMENTS),
    ]
    cascade = Cascade(stages, cutoffs=[4, 2], costs=[0.01, 1, 10])
    ids = torch.arange(len(DOCUMENTS)).expand(2, -1)
    candidates = BM25(DOCUMENTS)(QUERIES, 6)._replace(ids=ids, scores=torch.zeros(2, 6), mask=ids >= 0)
    labels = torch.zeros(2, 6).index_put((torch.tensor([0, 1]), torch.tensor([2, 1])), torch.ones(2))
    found = cascade.train().relaxed(QUERIES, candidates)
    CascadeLoss(ApproxNDCG(), joint=LCRONLoss(stages=3, k=(4, 2, 1)), budget=5.0)(found, labels).backward()
    reached = [stages[0].log_k1, colbert.projection.layers[0].linear.weight, next(cross_encoder.parameters())]
    assert all(one.grad is not None and one.grad.isfinite().all() and one.grad.any() for one in reached)
    assert cascade.log_cutoffs.grad is not None
    assert bool((cascade.log_cutoffs.grad > 0).all()), "the budget is exceeded: lower cut-offs are wanted"

    out, by_hand = cascade.eval()(QUERIES, candidates), stages[0](QUERIES, candidates)
    second = stages[1](QUERIES, by_hand._replace(**{k: v[:, :4] for k, v in by_hand._asdict().items()}))
    third = stages[2](QUERIES, second._replace(**{k: v[:, :2] for k, v in second._asdict().items()}))
    expected = torch.cat([third.ids, second.ids[:, 2:], by_hand.ids[:, 4:]], dim=1)
    assert out.ids.tolist() == expected.tolist()


class Bag(nn.Module):
    """A dense encoder: the mean of its words' vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.words = {word: row for row, word in enumerate(sorted({w for text in DOCUMENTS for w in text.split()}))}
        self.vectors = nn.EmbeddingBag(len(self.words) + 1, 4)

    def encode_queries(self, texts: Any) -> torch.Tensor:
        rows = [[self.words.get(word, len(self.words)) for word in text.split()] for text in texts]
        starts = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)[:-1]
        return self.vectors(torch.tensor([one for row in rows for one in row]), starts)

    encode_documents = encode_queries


def test_a_ranker_trains_a_cascade_of_texts() -> None:
    bag = Bag()
    stages = [LearnableBM25(DOCUMENTS), LateInteractionReranker(OneVectorTokens(bag), DOCUMENTS)]
    cascade = Cascade(stages, cutoffs=[5], costs=[0.1, 1.0])
    ids = torch.arange(6).expand(2, 6)
    ranking = whole_lists(FeatureLists(torch.zeros(2, 6, 1), torch.ones(2, 6, dtype=torch.bool)))._replace(ids=ids)
    labels = torch.tensor([[0.0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 1]])
    lists = CandidateLists(QUERIES, ranking, labels, judged=torch.tensor([[1.0, 0], [1, 1]]))
    before = [parameter.detach().clone() for parameter in cascade.parameters()]
    ranker = Ranker(CascadeModel(cascade), CascadeLoss(budget=3.0), metrics=[NDCG(k=2)], learning_rate=0.05)
    with quiet_lightning():
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=20,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        loader = DataLoader(lists, batch_size=2, collate_fn=lists.collate)
        trainer.fit(ranker, loader, loader)
    assert all(bool((now != then).any()) for now, then in zip(cascade.parameters(), before, strict=True))
    assert cascade.cutoffs.item() < 5
    with torch.no_grad():
        out = cascade.eval()(QUERIES, ranking)
    by_hand = NDCG(k=2)(out.scores, labels.gather(1, out.ids), judged=torch.tensor([[1.0, 0], [1, 1]])).mean()
    assert trainer.callback_metrics["val/nDCG@2"].item() == pytest.approx(by_hand.item())


def small() -> FeatureCascade:
    return FeatureCascade(
        3, columns=[[2], None], hidden=[[4], [8]], cutoffs=[2.0], costs=[0.1, 1], dropout=0.0, transform="standardise"
    )


def test_a_stage_reads_its_own_columns_of_the_rows_it_is_asked_about() -> None:
    lists = FeatureLists(torch.randn(2, 5, 3), torch.tensor([[True] * 5, [True] * 4 + [False]]))
    seen = []

    def score(given: FeatureLists) -> torch.Tensor:
        seen.append(given)
        return given.features.sum(dim=-1)

    ranking = whole_lists(lists)._replace(ids=torch.tensor([[4, 1, 0, 3, 2], [3, 0, 1, 2, -1]]))
    out = FeatureStage(score, columns=[2, 0])(lists, ranking)
    assert torch.equal(seen[0].features[0], lists.features[0][[4, 1, 0, 3, 2]][:, [2, 0]])
    sums = (lists.features[..., 0] + lists.features[..., 2]).masked_fill(~lists.mask, -torch.inf)
    assert torch.equal(out.ids[0], sums[0].argsort(descending=True))
    assert torch.equal(out.ids[1][:4], sums[1].argsort(descending=True)[:4])
    assert not out.mask[1, 4]


def test_a_feature_cascade_is_soft_in_training_hard_in_evaluation_and_survives_a_folder(tmp_path: Path) -> None:
    model = small()
    assert not model.transform.fitted
    rows = torch.randn(40, 3) * torch.tensor([1.0, 5.0, 0.1])
    model.transform.fit(rows)
    assert model.transform.fitted
    cheap, dear = (ranker for _, ranker in model.rankers())
    lists = FeatureLists(rows.view(8, 5, 3), torch.ones(8, 5, dtype=torch.bool))
    with torch.no_grad():
        model.cascade.log_cutoffs.fill_(torch.tensor(2.0).log())
    found = model(lists)
    assert isinstance(found, CascadeScores)
    assert torch.allclose(found.survival.sum(-1), torch.tensor([5.0, 3.0]).unsqueeze(1).expand(2, 8), atol=1e-5)
    model.save_pretrained(tmp_path / "model")
    loaded = FeatureCascade.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        scores = loaded(lists)
        first = cheap(FeatureLists(lists.features[..., [2]], lists.mask))
        second = dear(lists)
    assert loaded.cascade.hard_cutoffs == (3,)
    for query in range(8):
        handed = first[query].argsort(descending=True)[:3]
        order = handed[second[query][handed].argsort(descending=True)]
        assert scores[query].argsort(descending=True)[:3].tolist() == order.tolist()
        assert torch.allclose(scores[query][handed], second[query][handed])


def blank(items: int) -> FeatureLists:
    return FeatureLists(torch.zeros(1, items, 3), torch.ones(1, items, dtype=torch.bool))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FeatureCascade(3, columns=[None], hidden=[[4], [8]], cutoffs=[2], costs=[1, 1]), "columns is of 1"),
        (lambda: FeatureCascade(3, columns=[[3], None], hidden=[[4], [8]], cutoffs=[2], costs=[1, 1]), "not all among"),
        (lambda: FeatureStage(nn.Identity(), columns=[]), "columns: expected at least one"),
        (lambda: FeatureStage(nn.Identity(), columns=[5])(blank(2), whole_lists(blank(2))), "up to 5, but a row has 3"),
        (lambda: FeatureStage(nn.Identity())(blank(2), whole_lists(blank(4))), "with items up to 3, the features"),
        (lambda: CandidateLists(QUERIES, whole_lists(blank(2)), torch.zeros(2, 2)), "give one row each"),
    ],
)
def test_bad_input(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
