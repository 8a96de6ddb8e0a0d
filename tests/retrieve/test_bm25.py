"""BM25 against bm25s and the published formulas, its order of equals, its files, bad input, real collections."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path

import bm25s
import numpy as np
import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.retrieve import BM25, Analyzer
from rankgrad.types import Ranking

METHODS = ("lucene", "robertson", "atire", "bm25l", "bm25+")
PLAIN = Analyzer(stop_words=(), stemmer=None)


def collection(documents: int = 60, words: int = 25, seed: int = 0) -> list[str]:
    """Texts of made-up words with falling frequencies; one is empty."""
    generator = np.random.default_rng(seed)
    chance = 1 / np.arange(1, words + 1)
    lengths = generator.integers(1, 30, documents)
    drawn = [generator.choice(words, size, p=chance / chance.sum()) for size in lengths]
    return [*(" ".join(f"w{word}" for word in text) for text in drawn), ""]


def full_scores(bm25: BM25, query: str) -> np.ndarray:
    """The score of every document, -inf where it is not found."""
    ranking = bm25([query], bm25.documents)
    scores = np.full(bm25.documents, -np.inf)
    real = ranking.mask[0]
    scores[ranking.ids[0][real].numpy()] = ranking.scores[0][real].numpy()
    return scores


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("query", ["w0", "w3", "w20", "w1 w5 w19 unknown", "w2 w2 w7"])
def test_scores_are_those_of_bm25s(method: str, query: str) -> None:
    documents = collection()
    delta = {"bm25l": 0.5, "bm25+": 1.0}.get(method, 0.0)
    peer = bm25s.BM25(k1=1.3, b=0.6, delta=delta, method=method)
    peer.index([text.split() for text in documents], show_progress=False)
    terms = [term for term in query.split() if term != "unknown"]
    expected = peer.get_scores(terms).astype(np.float64)
    bm25 = BM25(documents, k1=1.3, b=0.6, method=method, analyzer=PLAIN)  # type: ignore[arg-type]
    for term in terms:
        # bm25s gives documents without the term what the lower bound alone is worth; the papers give them nothing.
        absent = np.array([term not in text.split() for text in documents])
        floor = peer.get_scores([term]).astype(np.float64)[absent]
        expected[absent] -= floor
    found = full_scores(bm25, query)
    shares = np.array([any(term in text.split() for term in terms) for text in documents])
    real = np.isfinite(found)
    assert not real[~shares].any()
    np.testing.assert_allclose(found[real], expected[real], rtol=2e-6)
    np.testing.assert_allclose(expected[shares & ~real], 0.0, atol=1e-6)


def test_the_default_is_lucenes_formula() -> None:
    documents = ["cat cat dog", "dog bird", "fish"]
    expected = math.log(1 + (3 - 1 + 0.5) / 1.5) * 2 / (2 + 1.2 * (1 - 0.75 + 0.75 * 3 / 2))
    assert BM25(documents)(["cat"], 1).scores.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("k", [1, 2, 5, 17, 61])
def test_the_top_k_is_exact_and_equals_stand_by_row(k: int) -> None:
    documents = [*collection(20), *collection(20), *collection(20)][:61]
    bm25 = BM25(documents, analyzer=PLAIN)
    queries = ["w0 w4", "w19", "w1 w2 w3", "nothing here"]
    ranking = bm25(queries, k)
    for row, query in enumerate(queries):
        scores = full_scores(bm25, query)
        order = [int(doc) for doc in np.lexsort((np.arange(len(scores)), -scores)) if np.isfinite(scores[doc])][:k]
        assert ranking.ids[row].tolist() == order + [-1] * (k - len(order))
        assert ranking.mask[row].tolist() == [True] * len(order) + [False] * (k - len(order))
    assert ranking.ids.dtype == torch.int64
    assert ranking.scores.dtype == torch.float32
    assert (ranking.scores[~ranking.mask] == -torch.inf).all()
    assert (ranking.ids[~ranking.mask] == -1).all()


def test_a_batch_is_its_queries_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankgrad.retrieve._inverted._GROUP_ELEMENTS", 130)
    bm25 = BM25(collection(), analyzer=PLAIN)
    queries = [f"w{n} w{n + 3}" for n in range(9)]
    together = bm25(queries, 7)
    for row, query in enumerate(queries):
        assert all(torch.equal(one[0], many[row]) for one, many in zip(bm25([query], 7), together, strict=True))


@pytest.mark.parametrize(("query", "terms"), [("the of and", ()), ("zebra", ()), ("the cats, zebra cat", ("cat",))])
def test_terms_explain_an_empty_ranking(query: str, terms: tuple[str, ...]) -> None:
    bm25 = BM25(["a cat", "a dog"])
    assert bm25.terms(query) == terms
    assert bool(bm25([query], 2).mask.any()) == bool(terms)


def same(left: Ranking, right: Ranking) -> bool:
    return all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


def by_files(bm25: BM25, folder: Path) -> BM25:
    bm25.save(folder / "index")
    return BM25.load(folder / "index")


def by_state(bm25: BM25, folder: Path) -> BM25:
    other = copy.deepcopy(bm25)
    for buffer in other.buffers():
        buffer.zero_()
    torch.save(bm25.state_dict(), folder / "state.pt")
    other.load_state_dict(torch.load(folder / "state.pt"))
    return other


@pytest.mark.parametrize("way", [by_files, by_state])
def test_an_index_survives(way: Callable[[BM25, Path], BM25], tmp_path: Path) -> None:
    bm25 = BM25(collection(), k1=0.9, b=0.4, method="bm25+", analyzer=Analyzer(stemmer="porter", stop_words=("w3",)))
    other = way(bm25, tmp_path)
    assert same(bm25(["w3 w5", "w1"], 9), other(["w3 w5", "w1"], 9))
    assert (other.analyzer, other.k1, other.b, other.method, other.delta) == (bm25.analyzer, 0.9, 0.4, "bm25+", 1.0)


def cut_tensors(folder: Path) -> None:
    path = folder / "index.safetensors"
    path.write_bytes(path.read_bytes()[:-40])


def cut_settings(folder: Path) -> None:
    path = folder / "index.json"
    path.write_text(path.read_text()[:-10])


def other_kind(folder: Path) -> None:
    (folder / "index.json").write_text('{"kind": "dense", "format_version": 1}')


def drop_a_word(folder: Path) -> None:
    settings = json.loads((folder / "index.json").read_text())
    settings["vocabulary"].pop()
    (folder / "index.json").write_text(json.dumps(settings))


def drop_settings(folder: Path) -> None:
    settings = json.loads((folder / "index.json").read_text())
    del settings["k1"]
    (folder / "index.json").write_text(json.dumps(settings))


def remove_tensors(folder: Path) -> None:
    (folder / "index.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (cut_tensors, InputError, r"index\.safetensors is cut off or damaged"),
        (cut_settings, InputError, r"index\.json:1: "),
        (other_kind, InputError, "describes .*dense.* expected .*bm25"),
        (drop_a_word, InputError, "vocabulary and tensors are of different indexes"),
        (drop_settings, InputError, "no complete BM25 index"),
        (remove_tensors, FileNotFoundError, r"index\.safetensors is missing"),
    ],
)
def test_damaged_files(damage: Callable[[Path], None], error: type[Exception], message: str, tmp_path: Path) -> None:
    BM25(["a cat", "a dog"]).save(tmp_path / "index")
    damage(tmp_path / "index")
    with pytest.raises(error, match=message):
        BM25.load(tmp_path / "index")


def test_saving_replaces_an_index_but_no_other_folder(tmp_path: Path) -> None:
    bm25 = BM25(["a cat"])
    (tmp_path / "letter.txt").write_text("dear reader")
    with pytest.raises(InputError, match="holds other files"):
        bm25.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    for documents in (["a cat"], ["a cat", "a dog"]):
        BM25(documents).save(tmp_path / "index")
    assert BM25.load(tmp_path / "index").documents == 2


def build(**settings: object) -> Callable[[], object]:
    return lambda: BM25(**{"documents": ["a cat", "a dog"], **settings})  # type: ignore[arg-type]


def ask(queries: object, k: int = 1) -> Callable[[], object]:
    return lambda: BM25(["a cat", "a dog"])(queries, k)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (build(documents=[]), InputError, "no document given"),
        (build(documents="a cat"), TypeError, "wrap it in a list"),
        (build(documents=["a", None]), TypeError, "document 1 .*NoneType"),
        (build(documents=["the", ""]), InputError, "no document holds a term"),
        (build(method="bm26"), InputError, "method='bm26' is unknown: choose one of lucene"),
        (build(k1=-1), InputError, "k1=-1 must not be negative"),
        (build(k1=float("nan")), InputError, "k1=nan must not be negative, infinite or NaN"),
        (build(k1=float("inf")), InputError, "k1=inf must not be"),
        (build(b=float("nan")), InputError, "b=nan must lie between 0"),
        (build(method="bm25+", delta=float("nan")), InputError, "delta=nan must not be negative, infinite or NaN"),
        (build(method="bm25l", delta=float("inf")), InputError, "delta=inf must not be"),
        (build(method="bm25l", delta=-0.5), InputError, "delta=-0.5 must not be"),
        (build(delta=0.5), InputError, "delta=0.5 is the lower bound of bm25l and bm25\\+: leave it out with lucene"),
        (build(b=1.5), InputError, r"b=1\.5 must lie between 0"),
        (ask([""]), InputError, "query 0 .* is empty"),
        (ask([]), InputError, "no query given"),
        (ask("cat"), TypeError, "wrap it in a list"),
        (ask(["cat"], k=3), InputError, "k=3 must lie between 1 and the size of the collection: pass 2 at most"),
        (ask(["cat"], k=0), InputError, "k=0 must lie between"),
    ],
)
def test_bad_input(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_query_as_long_as_a_book_is_one_more_query() -> None:
    bm25 = BM25(["a cat", "a dog"])
    ranking = bm25(["cat " * 25_000], 2)
    assert ranking.ids.tolist() == [[0, -1]]
    torch.testing.assert_close(ranking.scores[0, 0], 25_000 * bm25(["cat"], 1).scores[0, 0], rtol=1e-5, atol=0.0)
