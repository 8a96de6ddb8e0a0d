"""Filters against a whole ranking with the others left out; conditions on fields; the router."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.retrieve import BM25, RM3, TFIDF, Analyzer, Filtered, Metadata, QueryLikelihood, Router
from rankgrad.types import Ranking, Retriever

QUERIES = ["w0 w4", "w1", "unheard"]


class OverFetched:
    """A retriever without a search under a mask; counts what it was asked for."""

    def __init__(self, texts: list[str], plain: Analyzer) -> None:
        self.bm25, self.asked = BM25(texts, analyzer=plain), []

    def __call__(self, queries: list[str], k: int) -> Ranking:
        self.asked.append(k)
        return self.bm25(queries, k)


MAKERS: dict[str, Callable[[list[str], Analyzer], Retriever]] = {
    "bm25": lambda texts, plain: BM25(texts, analyzer=plain),
    "tfidf": lambda texts, plain: TFIDF(texts, analyzer=plain),
    "likelihood": lambda texts, plain: QueryLikelihood(texts, analyzer=plain),
    "rm3": lambda texts, plain: RM3(BM25(texts, analyzer=plain), texts),
    "over-fetched": OverFetched,
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_a_filtered_ranking_is_the_whole_one_without_the_others(
    maker: str, share: float, texts: list[str], plain: Analyzer
) -> None:
    retriever = MAKERS[maker](texts, plain)
    table = {
        query: torch.rand(len(texts), generator=torch.Generator().manual_seed(row)) < share
        for row, query in enumerate(QUERIES)
    }
    filtered = Filtered(retriever, table.__getitem__, documents=len(texts))
    found = filtered(QUERIES, 5)
    # The last query has an empty ranking, which must not decide how far the others are followed.
    assert torch.equal(filtered(QUERIES[:2], 5).ids, found.ids[:2])
    whole = retriever(QUERIES, len(texts))
    for row, query in enumerate(QUERIES):
        ids = [int(one) for one in whole.ids[row][whole.mask[row]] if table[query][one]][:5]
        assert found.ids[row].tolist() == ids + [-1] * (5 - len(ids))
        assert found.mask[row].tolist() == [True] * len(ids) + [False] * (5 - len(ids))
    assert (found.scores[~found.mask] == -torch.inf).all()
    assert (found.scores[found.mask] > -torch.inf).all()


def test_over_fetching_stops_as_soon_as_there_are_enough(texts: list[str], plain: Analyzer) -> None:
    retriever = OverFetched(texts, plain)
    Filtered(retriever, torch.ones(len(texts), dtype=torch.bool))(["w0"], 4)
    assert retriever.asked == [8]


def test_conditions_on_fields() -> None:
    metadata = Metadata({"year": [1990, 2000, None, 2010], "tag": ["a", "b", "b", None]})
    assert metadata.between("year", 2000).tolist() == [False, True, False, True]
    assert metadata.between("year", high=1999).tolist() == [True, False, False, False]
    assert metadata.one_of("tag", ["b", None]).tolist() == [False, True, True, False]
    assert (metadata.one_of("tag", {"b"}) & ~metadata.between("year")).tolist() == [False, False, True, False]


def test_a_mask_of_a_smaller_collection(texts: list[str], plain: Analyzer) -> None:
    with pytest.raises(InputError, match="may be found, the retriever found row"):
        Filtered(OverFetched(texts, plain), torch.ones(4, dtype=torch.bool))(["w0"], 4)


def mask(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.bool)


BM25_OF_TWO = BM25(["a cat", "a dog"])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Metadata({"year": [1]}).between("age"), InputError, "no field 'age': choose one of year"),
        (lambda: Metadata({"year": [1], "tag": []}), InputError, "one value a document in each"),
        (lambda: Metadata({}), InputError, "at least one field"),
        (lambda: Metadata({"year": ["x"]}).between("year", 3), InputError, "'year' does not compare with 3"),
        (lambda: Metadata({"tag": ["x"]}).one_of("tag", "x"), TypeError, r"write \['x'\]"),
        (lambda: Filtered(BM25_OF_TWO, mask(1))(["cat"], 1), InputError, r"allowed: expected \[2\]"),
        (lambda: Filtered(BM25_OF_TWO, mask(1, 0), documents=3), InputError, r"allowed: expected \[3\]"),
        (lambda: Filtered(BM25_OF_TWO, torch.ones(2)), TypeError, "expected torch.bool"),
        (lambda: Filtered(BM25_OF_TWO, lambda query: mask(1, 0)), InputError, "documents: a function"),
        (lambda: Filtered(BM25_OF_TWO, mask(1, 0))(["cat"], 3), InputError, "k=3 must lie between"),
        (lambda: Filtered(BM25_OF_TWO, lambda _: mask(1), documents=2)(["cat"], 1), InputError, r"expected \[2\]"),
        (lambda: Router(lambda query: "x", {}), InputError, "no retriever given"),
        (lambda: Router(lambda query: "x", {"y": BM25_OF_TWO})(["cat"], 1), InputError, "gave 'x' for 'cat'.* y"),
    ],
)
def test_bad_input(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_router_sends_each_query_to_its_retriever(texts: list[str], plain: Analyzer) -> None:
    routes = {"one": BM25(texts, analyzer=plain), "many": TFIDF(texts, analyzer=plain)}
    router = Router(lambda query: "many" if " " in query else "one", routes)
    queries = ["w0 w4", "w1", "w2", "w3 w3"]
    found = router(queries, 6)
    for row, query in enumerate(queries):
        expected = routes["many" if " " in query else "one"]([query], 6)
        assert all(torch.equal(one[row], two[0]) for one, two in zip(found, expected, strict=True))
    assert len(list(router.buffers())) == len(list(routes["one"].buffers())) + len(list(routes["many"].buffers()))
