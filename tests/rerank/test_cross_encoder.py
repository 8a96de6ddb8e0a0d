"""The cross-encoder stage: what is scored, order, batches, gradients, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.models import CrossEncoder
from rankgrad.rerank import CrossEncoderReranker
from rankgrad.types import Ranking

QUERIES = ["abd", "c"]


class NumpyScorer:
    """The shape of ``rankgrad.deploy``'s CrossEncoder."""

    def __init__(self, scorer: Any) -> None:
        self.scorer = scorer

    def score(self, queries: list[str], documents: list[str]) -> np.ndarray:
        return self.scorer.score(queries, documents).detach().numpy()


@pytest.mark.parametrize("numpy", [False, True])
@pytest.mark.parametrize(("k", "batch_size"), [(1, 32), (3, 2), (5, 1), (100, 32)])
def test_the_head_is_reordered_and_nothing_else_is_scored(
    numpy: bool, k: int, batch_size: int, scorer: Any, documents: tuple[str, ...], incoming: Ranking
) -> None:
    stage = CrossEncoderReranker(NumpyScorer(scorer) if numpy else scorer, documents, k=k, batch_size=batch_size)
    outgoing = stage(QUERIES, incoming)
    asked = [pair for batch in scorer.batches for pair in batch]
    wanted = []
    for row, query in enumerate(QUERIES):
        real = incoming.ids[row][incoming.mask[row]].tolist()
        scores = {
            document: sum(scorer.weight[ord(c) - 97].item() for c in set(query) & set(documents[document]))
            for document in real[:k]
        }
        head = sorted(scores, key=lambda document: -scores[document])
        assert outgoing.ids[row].tolist() == [*head, *real[k:], *[-1] * (5 - len(real))]
        found = outgoing.scores[row, : len(head)].tolist()
        assert found == pytest.approx([scores[document] for document in head], rel=1e-5)
        wanted += [(query, documents[document]) for document in scores]
    assert sorted(asked) == sorted(wanted)
    assert max(map(len, scorer.batches)) <= batch_size
    lengths = [len(query) + len(document) for query, document in asked]
    assert lengths == sorted(lengths, reverse=True)
    assert not outgoing.scores.requires_grad


def test_a_ranking_without_documents_is_never_scored(
    scorer: Any, documents: tuple[str, ...], incoming: Ranking
) -> None:
    nothing = Ranking(torch.full_like(incoming.ids, -1), incoming.scores, torch.zeros_like(incoming.mask))
    outgoing = CrossEncoderReranker(scorer, documents)(QUERIES, nothing)
    assert scorer.batches == []
    assert not outgoing.mask.any()


@pytest.mark.parametrize("head", ["cls", "interaction"])
def test_a_loss_on_the_ranking_trains_a_cross_encoder(head: Any, tiny_encoder_folder: Path) -> None:
    torch.manual_seed(0)
    texts = ("open a file and read its lines", "sort a list", "", "join strings")
    model = CrossEncoder.from_pretrained(tiny_encoder_folder, head=head)
    stage = CrossEncoderReranker(model, texts, k=4)
    incoming = Ranking(torch.tensor([[0, 1, 2, 3]]), torch.zeros(1, 4), torch.ones(1, 4).bool())
    quiet = stage(["sort values"], incoming)
    with torch.no_grad():
        alone = torch.cat([model.score(["sort values"], [text]) for text in texts])
    torch.testing.assert_close(quiet.scores[0], alone[quiet.ids[0]], rtol=1e-4, atol=1e-5)
    stage.train()
    outgoing = stage(["sort values"], incoming)
    (-outgoing.scores[0].log_softmax(0)[0]).backward()
    reached = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
    assert any("embeddings" in name for name in reached)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k=0 reranks nothing"),
        ({"first_stage_weight": float("inf")}, "first_stage_weight=inf must be a finite number"),
        ({"first_stage_weight": torch.zeros(2)}, r"first_stage_weight: expected one number, got shape \[2\]"),
        ({"batch_size": 0}, "batch_size=0 scores nothing"),
        ({"documents": ["a"]}, "names rows 0 to 5, this stage holds 1 documents"),
    ],
)
def test_bad_input(
    settings: dict[str, Any], message: str, scorer: Any, documents: tuple[str, ...], incoming: Ranking
) -> None:
    with pytest.raises(InputError, match=message):
        CrossEncoderReranker(scorer, **{"documents": documents, **settings})(QUERIES, incoming)


def test_a_listwise_scorer_gets_whole_lists(scorer: Any, documents: tuple[str, ...], incoming: Ranking) -> None:
    scorer.listwise = True
    stage = CrossEncoderReranker(scorer, documents, k=3, batch_size=1)
    # A list a call, also where two lists have the same query.
    stage([QUERIES[0]] * len(QUERIES), incoming)
    assert [len(batch) for batch in scorer.batches] == incoming.mask[:, :3].sum(dim=1).tolist()
