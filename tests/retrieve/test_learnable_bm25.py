"""Learnable BM25: the scores of BM25, gradients against the formula, training that finds what was planted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.losses import softmax_loss
from rankgrad.metrics import ndcg
from rankgrad.retrieve import BM25, Analyzer, LearnableBM25
from rankgrad.types import Ranking

QUERIES = ["w0 w7", "w3 w3 w12 unknown", "unheard"]


def test_it_starts_as_bm25(texts: list[str], plain: Analyzer) -> None:
    first = BM25(texts, k1=0.9, b=0.4, analyzer=plain)(QUERIES, 20)
    learnable = LearnableBM25(texts, k1=0.9, b=0.4, analyzer=plain)
    second = learnable(QUERIES, Ranking(first.ids.flip(1), first.scores.flip(1), first.mask.flip(1)))
    torch.testing.assert_close(second.scores, first.scores)
    assert torch.equal(second.mask, first.mask)
    learnable.term_weights.data.uniform_(0.5, 2.0)
    folded = learnable.to_bm25()(QUERIES, 20)
    expected = learnable.score(QUERIES, folded.ids.clamp(min=0)).masked_fill(~folded.mask, -torch.inf)
    torch.testing.assert_close(folded.scores, expected)
    assert torch.equal(folded.mask, first.mask)
    assert learnable.score(["w0"], torch.tensor([[len(texts) - 1]])).item() == 0.0


def test_gradients_are_those_of_the_formula(texts: list[str], plain: Analyzer) -> None:
    bm25 = LearnableBM25(texts, analyzer=plain).double()
    ids = torch.arange(12)[None]

    def scores(log_k1: Tensor, logit_b: Tensor, term_weights: Tensor) -> Tensor:
        values = {"log_k1": log_k1, "logit_b": logit_b, "term_weights": term_weights}
        return torch.func.functional_call(_Scores(bm25), {f"bm25.{name}": value for name, value in values.items()}, ids)

    def formula(log_k1: Tensor, logit_b: Tensor, term_weights: Tensor) -> Tensor:
        k1, b, found = log_k1.exp(), logit_b.sigmoid(), []
        for row in range(12):
            words = texts[row].split()
            total = term_weights.new_zeros(())
            for term, times in {"w0": 1, "w7": 1, "w3": 2}.items():
                tf, place = words.count(term), bm25.vocabulary[term]
                norm = k1 * (1 - b + b * bm25.lengths[row])
                total = total + times * bm25.idf[place] * term_weights[place] * tf / (tf + norm)
            found.append(total)
        return torch.stack(found)[None]

    inputs = [parameter.detach().clone().requires_grad_() for parameter in bm25.parameters()]
    assert torch.autograd.gradcheck(scores, inputs)
    weight = torch.randn(1, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for one, two in zip(
        torch.autograd.grad((scores(*inputs) * weight).sum(), inputs),
        torch.autograd.grad((formula(*inputs) * weight).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


class _Scores(torch.nn.Module):
    def __init__(self, bm25: LearnableBM25) -> None:
        super().__init__()
        self.bm25 = bm25

    def forward(self, ids: Tensor) -> Tensor:
        return self.bm25.score(["w0 w7 w3 w3"], ids)


def test_training_raises_ndcg_and_files_keep_what_was_learned(tmp_path: Path) -> None:
    # Relevant documents are those that say the noun, however often the others say the verb.
    nouns = [f"noun{n}" for n in range(6)]
    documents = [text for noun in nouns for text in (f"{noun} filler filler other", "verb verb verb")]
    queries = [f"verb {noun}" for noun in nouns]
    ids = torch.arange(12).expand(6, -1)
    labels = (ids == 2 * torch.arange(6)[:, None]).float()
    bm25 = LearnableBM25(documents, analyzer=Analyzer(stop_words=(), stemmer=None))
    with torch.no_grad():
        bm25.term_weights[bm25.vocabulary["verb"]] = 9.0
        before = ndcg(bm25.score(queries, ids), labels, k=5).mean()
    optimizer = torch.optim.Adam(bm25.parameters(), lr=0.3)
    for _ in range(40):
        optimizer.zero_grad()
        softmax_loss(bm25.score(queries, ids), labels).backward()
        optimizer.step()
    after = ndcg(bm25.score(queries, ids), labels, k=5).mean()
    assert before < 0.5
    assert after > 0.99
    bm25.save(tmp_path / "index")
    other = LearnableBM25.load(tmp_path / "index")
    assert torch.equal(other.score(queries, ids), bm25.score(queries, ids))
    assert [name for name, one in other.named_parameters() if one.requires_grad] == [
        "log_k1",
        "logit_b",
        "term_weights",
    ]


def test_bad_input() -> None:
    bm25 = LearnableBM25(["a cat", "a dog"], learn_term_weights=False)
    assert not bm25.term_weights.requires_grad
    with pytest.raises(InputError, match="must start inside of their range"):
        LearnableBM25(["a cat"], b=1.0)
    with pytest.raises(InputError, match="rows 0 to 2 of a collection of 2"):
        bm25.score(["cat"], torch.tensor([[0, 2]]))
    with pytest.raises(InputError, match=r"expected \[1, candidates\]"):
        bm25.score(["cat"], torch.tensor([0]))
