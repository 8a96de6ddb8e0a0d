"""RM3 and Bo1 against their formulas, term by term, and the second search against a weighted sum."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.retrieve import BM25, RM3, Analyzer, Bo1, QueryLikelihood

QUERY = "w4 w4 w9 unknown"


def weights_of(expansion: RM3 | Bo1, query: str) -> dict[str, float]:
    terms = expansion.expand(["w1", query])
    words = list(expansion.retriever.vocabulary)
    mine = terms.owners == 1
    return {words[place]: weight for place, weight in zip(terms.positions[mine], terms.weights[mine], strict=True)}


def kept(values: dict[str, float], vocabulary: dict[str, int], k: int) -> dict[str, float]:
    """The k largest, equals by their place in the vocabulary."""
    return dict(sorted(values.items(), key=lambda item: (-item[1], vocabulary[item[0]]))[:k])


@pytest.mark.parametrize("shares", ["scores", "softmax", "uniform"])
def test_rm3_is_its_formula(shares: str, texts: list[str], plain: Analyzer) -> None:
    log_likelihoods = shares == "softmax"
    retriever = QueryLikelihood(texts, mu=9.0, analyzer=plain) if log_likelihoods else BM25(texts, analyzer=plain)
    expansion = RM3(retriever, texts, feedback_documents=4, feedback_terms=6, query_weight=0.3, shares=shares)
    first = retriever([QUERY], 4)
    scores = [float(score) for score in first.scores[0]]
    raw = {"scores": scores, "softmax": [math.exp(score) for score in scores], "uniform": [1.0] * 4}[shares]
    relevance: Counter[str] = Counter()
    for row, share in zip(first.ids[0].tolist(), raw, strict=True):
        count = Counter(texts[row].split())
        for term, number in count.items():
            relevance[term] += share / sum(raw) * number / count.total()
    best = kept(relevance, retriever.vocabulary, 6)
    expected = {term: 0.7 * value / sum(best.values()) for term, value in best.items()}
    for term, number in {"w4": 2, "w9": 1}.items():
        expected[term] = expected.get(term, 0.0) + 0.3 * number / 3
    assert weights_of(expansion, QUERY) == pytest.approx(expected, rel=1e-5)


def test_bo1_is_its_formula(texts: list[str], plain: Analyzer) -> None:
    retriever = BM25(texts, analyzer=plain)
    found = retriever([QUERY], 3).ids[0].tolist()
    counts = sum((Counter(texts[row].split()) for row in found), Counter())
    everything = Counter(" ".join(texts).split())
    information = {}
    for term, number in counts.items():
        rate = everything[term] / len(texts)
        information[term] = number * math.log2((1 + rate) / rate) + math.log2(1 + rate)
    best = kept(information, retriever.vocabulary, 5)
    expected = {term: 0.6 * value / max(best.values()) for term, value in best.items()}
    for term, number in {"w4": 2, "w9": 1}.items():
        expected[term] = expected.get(term, 0.0) + number / 2
    expansion = Bo1(retriever, texts, feedback_terms=5, feedback_weight=0.6)
    assert weights_of(expansion, QUERY) == pytest.approx(expected, rel=1e-6)


def test_the_second_search_is_for_the_weighted_terms(texts: list[str], plain: Analyzer) -> None:
    retriever = BM25(texts, analyzer=plain)
    expansion = RM3(retriever, texts, feedback_documents=5)
    ranking = expansion([QUERY], 10)
    total = torch.zeros(len(texts))
    for term, weight in weights_of(expansion, QUERY).items():
        one = retriever([term], len(texts))
        total[one.ids[one.mask]] += weight * one.scores[one.mask]
    torch.testing.assert_close(ranking.scores[0], total.topk(10).values)
    torch.testing.assert_close(total[ranking.ids[0]], ranking.scores[0])


@pytest.mark.parametrize("kind", [RM3, Bo1])
def test_files_unknown_queries_and_bad_input(kind: type[RM3] | type[Bo1], tmp_path: Path, texts: list[str]) -> None:
    retriever = BM25(texts)
    expansion = kind(retriever, texts, feedback_documents=2, feedback_terms=3)
    assert not expansion(["unheard of"], 5).mask.any()
    expansion.save(tmp_path / "index")
    other = kind.load(tmp_path / "index", retriever)
    assert all(torch.equal(one, two) for one, two in zip(other(["w3"], 5), expansion(["w3"], 5), strict=True))
    with pytest.raises(InputError, match="counts other documents"):
        kind.load(tmp_path / "index", BM25(["another"]))
    with pytest.raises(InputError, match="these 1 are not the 41"):
        kind(retriever, ["another"])
    with pytest.raises(InputError, match="feedback_terms=0 feeds nothing back"):
        kind(retriever, texts, feedback_terms=0)
    with pytest.raises(InputError, match='take "softmax" for log-likelihoods'):
        RM3(QueryLikelihood(texts), texts)(["w3"], 1)
