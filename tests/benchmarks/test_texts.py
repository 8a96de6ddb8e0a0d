"""Texts of exact lengths, batches whose tokens are counted."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from benchmarks.texts import cut, exact_texts
from benchmarks.training_data import count_tokens
from rankgrad._checks import InputError
from rankgrad.tokens import LateInteractionRules, LateInteractionTokenizer, PairTokenizer

TEXTS = ("open a file and read its lines", "sort the values of a dictionary by key")


def test_texts_have_exactly_the_tokens_wanted(tiny_tokenizer: Tokenizer) -> None:
    found = exact_texts(tiny_tokenizer, TEXTS, tokens=5, count=3)
    assert found == ["open a file and read", "its lines sort the values", "of a dictionary by key"]
    assert {len(tiny_tokenizer.encode(text, add_special_tokens=False).ids) for text in found} == {5}


def test_a_word_that_overshoots_is_left_out(tiny_tokenizer: Tokenizer) -> None:
    assert exact_texts(tiny_tokenizer, ("open xyz a",), tokens=2, count=1) == ["open a"]


def test_too_few_words_are_an_error(tiny_tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="end before 50 tokens"):
        exact_texts(tiny_tokenizer, TEXTS, tokens=50, count=1)


@pytest.mark.parametrize(("tokens", "expected"), [(3, "open a file"), (99, TEXTS[0])])
def test_cut_keeps_the_first_tokens(tiny_tokenizer: Tokenizer, tokens: int, expected: str) -> None:
    assert cut(tiny_tokenizer, TEXTS[0], tokens) == expected


def test_tokens_are_counted_without_padding(tiny_tokenizer: Tokenizer) -> None:
    queries, documents = ["open file"], [["read its lines", "a"]]
    pairs = PairTokenizer(tiny_tokenizer, max_length=32, query_length=8)
    assert count_tokens(pairs, queries, documents) == (3 + 2 + 3) + (3 + 2 + 1)
    apart = LateInteractionTokenizer(tiny_tokenizer, LateInteractionRules(query_length=12), mask_id=4)
    assert count_tokens(apart, queries, documents) == (2 + 2) + (2 + 3) + (2 + 1)
