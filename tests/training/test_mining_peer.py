"""The same negatives as sentence-transformers mines, from the same scores under the same filters."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rankgrad.data import Task, Texts
from rankgrad.training import HardNegatives, NegativeFilter

QUERIES, DOCUMENTS, NEGATIVES = 12, 40, 3


class Embedded:
    """What the miner asks of a model: unit vectors, here given by number."""

    device = torch.device("cpu")

    def __init__(self, queries: torch.Tensor, documents: torch.Tensor) -> None:
        self.queries, self.documents = queries, documents

    def encode_query(self, texts: list[str], **_: Any) -> Any:
        return self.queries[[int(text[1:]) for text in texts]].numpy()

    def encode_document(self, texts: list[str], **_: Any) -> Any:
        return self.documents[[int(text[1:]) for text in texts]].numpy()

    def similarity(self, queries: Any, documents: Any) -> torch.Tensor:
        return torch.as_tensor(queries) @ torch.as_tensor(documents).T

    def similarity_pairwise(self, queries: Any, documents: Any) -> torch.Tensor:
        return (torch.as_tensor(queries) * torch.as_tensor(documents)).sum(-1)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {}),
        ({"absolute_margin": 0.1}, {"margin": 0.1}),
        ({"relative_margin": 0.05}, {"relative_margin": 0.95}),
        ({"relative_margin": 0.3, "absolute_margin": 0.2}, {"relative_margin": 0.7, "margin": 0.2}),
        ({"min_score": 0.1, "max_score": 0.4}, {"lowest": 0.1, "highest": 0.4}),
    ],
)
def test_the_same_negatives(theirs: dict[str, float], ours: dict[str, float]) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is the other miner")
    datasets = pytest.importorskip("datasets", reason="sentence-transformers returns a datasets set")
    from sentence_transformers.util import mine_hard_negatives

    queries, documents = torch.randn(QUERIES, 6), torch.randn(DOCUMENTS, 6)
    # Positives somewhat close to their queries.
    documents[:QUERIES] += queries
    queries, documents = torch.nn.functional.normalize(queries), torch.nn.functional.normalize(documents)
    pairs = {"query": [f"q{row}" for row in range(QUERIES)], "document": [f"d{row}" for row in range(QUERIES)]}
    found = mine_hard_negatives(
        datasets.Dataset.from_dict(pairs),
        Embedded(queries, documents),  # type: ignore[arg-type]
        corpus=[f"d{row}" for row in range(DOCUMENTS)],
        range_max=DOCUMENTS - 1,
        num_negatives=NEGATIVES,
        output_format="triplet",
        verbose=False,
        **theirs,  # type: ignore[arg-type]
    )
    expected: dict[str, list[str]] = {}
    for row in found:
        expected.setdefault(row["query"], []).append(row["negative"])  # type: ignore[call-overload]

    names = tuple(f"d{row}" for row in range(DOCUMENTS))
    scores = (queries @ documents.T).tolist()
    run = {query: dict(zip(names, row, strict=True)) for query, row in zip(pairs["query"], scores, strict=True)}
    qrels = {query: {document: 1} for query, document in zip(pairs["query"], pairs["document"], strict=True)}
    texts = Texts(tuple(pairs["query"]), tuple(pairs["query"]))
    task = Task("t", Texts(names, names), texts, qrels)
    rules = NegativeFilter(ranks=(1, DOCUMENTS), **ours)  # type: ignore[arg-type]
    mined = {one.query: list(one.negatives) for one in HardNegatives(lambda _: run, rules=rules, negatives=3)(task)}
    assert len(expected) > QUERIES / 3
    # The other miner leaves out queries without enough.
    assert {query: mined[query] for query in expected} == expected
    assert {query for query, names in mined.items() if len(names) == NEGATIVES} == expected.keys()
