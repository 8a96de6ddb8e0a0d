"""Query likelihood against the formula on every document, shared term or not."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.retrieve import Analyzer, QueryLikelihood

QUERY = "w0 w7 w7 w19 unknown"
SETTINGS = [
    {"smoothing": "dirichlet", "mu": 7.0},
    {"smoothing": "dirichlet", "mu": 2500.0},
    {"smoothing": "jelinek-mercer", "collection_weight": 0.3},
]


def direct(texts: list[str], query: str, settings: dict) -> list[float]:
    """The sum of logarithms of p(t | d), document by document; -inf where no term is shared."""
    counts = [Counter(text.split()) for text in texts]
    everything = sum(counts, Counter())
    scores = []
    for count in counts:
        size, total = count.total(), 0.0
        for term in query.split():
            if term in everything:
                share = everything[term] / everything.total()
                if settings["smoothing"] == "dirichlet":
                    probability = (count[term] + settings["mu"] * share) / (size + settings["mu"])
                else:
                    weight = settings["collection_weight"]
                    probability = (1 - weight) * (count[term] / size if size else 0.0) + weight * share
                total += math.log(probability)
        scores.append(total)
    return scores


@pytest.mark.parametrize("settings", SETTINGS)
def test_scores_and_order_are_those_of_the_formula(settings: dict, texts: list[str], plain: Analyzer) -> None:
    likelihood = QueryLikelihood(texts, analyzer=plain, **settings)
    expected = direct(texts, QUERY, settings)
    # What the parts add up to on documents without a shared term too: the floor, and the length prior.
    terms = likelihood.weigh([QUERY])
    floor = (torch.from_numpy(terms.weights) * likelihood.background[terms.positions]).sum()
    absent = [row for row, text in enumerate(texts) if not set(text.split()) & set(QUERY.split())]
    assert len(absent) >= 2
    for row in absent:
        found = floor + terms.totals()[0] * likelihood.prior[row]
        assert float(found) == pytest.approx(expected[row], rel=1e-5)
    ranking = likelihood([QUERY], len(texts))
    real = ranking.mask[0]
    order = sorted(set(range(len(texts))) - set(absent), key=lambda row: -expected[row])
    assert ranking.ids[0][real].tolist() == order
    torch.testing.assert_close(
        ranking.scores[0][real], torch.tensor([expected[row] for row in order]), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smoothing": "laplace"}, "smoothing='laplace' is unknown: choose one of dirichlet"),
        ({"mu": 0.0}, "mu=0.0 must be above 0"),
        ({"collection_weight": 1.0}, r"collection_weight=1\.0 must lie between"),
        ({"documents": ["the"]}, "no document holds a term"),
    ],
)
def test_bad_input(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        QueryLikelihood(**({"documents": ["a cat"]} | settings))
