"""Tokenizers and lists that the data tests share."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from rankgrad.data import CandidateList, Collection, Qrels, Run, Texts
from rankgrad.tokens import LateInteractionRules, LateInteractionTokenizer, PairTokenizer

WORDS = [
    "return",
    "the",
    "number",
    "items",
    "in",
    "a",
    "list",
    "open",
    "file",
    "and",
    "read",
    "lines",
    "sort",
    "values",
]


@pytest.fixture
def pair_tokenizer(tiny_tokenizer: Tokenizer) -> PairTokenizer:
    return PairTokenizer(tiny_tokenizer, max_length=96, query_length=16)


@pytest.fixture
def late_tokenizer(tiny_tokenizer: Tokenizer) -> LateInteractionTokenizer:
    rules = LateInteractionRules("[Q]", "[D]", query_length=12, document_length=64)
    mask_id = tiny_tokenizer.get_vocab()["[MASK]"]
    return LateInteractionTokenizer(tiny_tokenizer, rules, mask_id=mask_id)


@pytest.fixture
def sentence() -> Callable[[int], str]:
    """Makes sentences of so many words, always the same ones in the same order."""
    generator = random.Random(0)
    return lambda words: " ".join(generator.choices(WORDS, k=words))


@pytest.fixture
def small() -> Collection:
    """40 queries of train and 6 of validation over 100 documents; query i is answered by document i."""
    documents = Texts(
        tuple(f"d{row}" for row in range(100)), tuple(f"{WORDS[row % 13]} {row} {WORDS[row % 7]}" for row in range(100))
    )
    queries = Texts(tuple(f"q{row}" for row in range(46)), tuple(f"{WORDS[row % 13]} {row}" for row in range(46)))
    qrels: dict[str, Qrels] = {
        "train": {f"q{row}": {f"d{row}": 1} for row in range(40)},
        "validation": {f"q{row}": {f"d{row}": 2, f"d{row + 1}": 1} for row in range(40, 46)},
    }
    return Collection("small", documents, queries, qrels)


@pytest.fixture
def candidates() -> Run:
    """For query i the 20 documents from i on, best first: the relevant one leads."""
    return {f"q{row}": {f"d{(row + step) % 100}": 20.0 - step for step in range(20)} for row in range(46)}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real collections beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "../shared/data"
    if not folder.is_dir():
        pytest.skip("the collections of ../shared/data are not here")
    return folder


@pytest.fixture
def lists(sentence: Callable[[int], str]) -> list[CandidateList]:
    """Four lists of different lengths; one document occurs in three of them, one query in two."""
    common = sentence(9)
    query = sentence(4)
    return [
        CandidateList(query, (sentence(30), common, sentence(3)), (1.0, 0.0, 0.0)),
        CandidateList(sentence(6), (common,), (2.0,)),
        CandidateList(query, (sentence(17), sentence(5)), (1.0, 0.0)),
        CandidateList(sentence(2), (sentence(1), sentence(40), common, sentence(12), ""), (0.0, 0.0, 0.0, 3.0, 0.0)),
    ]
