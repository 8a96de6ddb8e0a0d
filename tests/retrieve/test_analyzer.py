"""The analyzer: order of its steps, settings, pickling, bad input."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st

from rankgrad._checks import InputError, MissingExtraError
from rankgrad.retrieve import ENGLISH_STOP_WORDS, Analyzer


def test_the_default_stop_words_are_lucenes_33() -> None:
    assert len(set(ENGLISH_STOP_WORDS)) == 33
    assert list(ENGLISH_STOP_WORDS) == sorted(ENGLISH_STOP_WORDS)


@pytest.mark.parametrize(
    ("analyzer", "text", "terms"),
    [
        (Analyzer(), "The CATS and dogs", ["cat", "dog"]),
        (Analyzer(lowercase=False), "The cats", ["The", "cat"]),
        (Analyzer(stop_words=("cats",)), "the cats cat", ["the", "cat"]),
        (Analyzer(stemmer=None), "running dogs", ["running", "dogs"]),
        (Analyzer(stemmer="german"), "Häuser", ["haus"]),
        (Analyzer(pattern=r"\w\w+"), "a x1 y", ["x1"]),
        (Analyzer(), "list.append(x) -> os_path", ["list", "append", "x", "os_path"]),
        (Analyzer(), "to be or not to be", []),
        (Analyzer(), "!?", []),
        (Analyzer(), "", []),
    ],
)
def test_terms_of_a_text(analyzer: Analyzer, text: str, terms: list[str]) -> None:
    assert analyzer(text) == terms


@settings(deadline=None)
@given(st.lists(st.text("abc THEing.,", max_size=20), max_size=6))
def test_collect_is_the_texts_one_by_one(texts: list[str]) -> None:
    analyzer = Analyzer()
    stem = Stemmer.Stemmer("english").stemWord
    expected = [
        [
            stem(word)
            for word in "".join(c if c.isalnum() else " " for c in text.lower()).split()
            if word not in ENGLISH_STOP_WORDS
        ]
        for text in texts
    ]
    terms = analyzer.collect(texts)
    found = [terms.vocabulary[term] for term in terms.ids]
    assert found == [term for one in expected for term in one]
    np.testing.assert_array_equal(terms.lengths, [len(one) for one in expected])
    assert len(set(terms.vocabulary)) == len(terms.vocabulary)


def test_it_travels_by_pickle_and_by_its_settings() -> None:
    analyzer = Analyzer(stop_words=["x"], stemmer="porter", pattern=r"\w\w+")  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(analyzer)) == analyzer
    assert Analyzer(**analyzer.to_dict()) == analyzer


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stemmer": "klingon"}, "stemmer='klingon' is unknown: choose None or one of .*english"),
        ({"pattern": "("}, "is no regular expression"),
        ({"pattern": r"(\w)(\w)"}, "has groups"),
    ],
)
def test_bad_settings(settings: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Analyzer(**settings)  # type: ignore[arg-type]


def test_a_missing_stemmer_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Stemmer", None)
    with pytest.raises(MissingExtraError, match=r"rankgrad\[retrieve\]"):
        Analyzer()
    assert Analyzer(stemmer=None)("dogs") == ["dogs"]
