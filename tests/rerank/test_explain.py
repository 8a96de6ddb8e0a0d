"""Explanations: they add up to the score, point at the right characters, and show any document safely."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from rankgrad._checks import InputError
from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.ops import maxsim
from rankgrad.rerank import Explanation, explain, explanation_page
from rankgrad.rerank._evidence import best_window, runs_of
from rankgrad.rerank._token_spans import tokens_of
from rankgrad.rerank.explain import Evidence, Match, Token
from rankgrad.tokens import LateInteractionRules, LateInteractionTokenizer

QUERY = "Sort the list"
DOCUMENTS = ("Open a file.", "sort  a\nlist by KEY, and join strings", "", "naïve élan 中文 😀 list")


@pytest.fixture(scope="module")
def colbert(tiny_encoder_folder: Path) -> ColBERT:
    rules = LateInteractionRules(
        query_prefix="[Q]", document_prefix="[D]", query_length=12, document_length=16, document_prompt="read: "
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=16)


def test_the_parts_add_up_to_maxsim(colbert: ColBERT) -> None:
    found = explain(colbert, QUERY, DOCUMENTS)
    packed = colbert.encode_documents(DOCUMENTS)
    expected = colbert.score([QUERY], packed)[0].tolist()
    assert [one.score for one in found] == pytest.approx(expected, abs=1e-5)
    vectors, mask = colbert.encode_queries([QUERY])
    for row, one in enumerate(found):
        assert sum(match.similarity for match in one.matches) == pytest.approx(one.score)
        assert sum(weight for _, weight in one.evidence) == pytest.approx(one.score)
        document = packed.embeddings[packed.cu_seqlens[row] : packed.cu_seqlens[row + 1]]
        similarity, place = (vectors[0][mask[0]] @ document.T).max(1)
        assert [match.similarity for match in one.matches] == pytest.approx(similarity.tolist(), abs=1e-5)
        assert [match.document for match in one.matches] == [one.evidence[at].token for at in place.tolist()]
        assert len(one.evidence) == len(document)


def test_spans_are_the_characters_of_the_tokens(colbert: ColBERT) -> None:
    _, found, empty, other = explain(colbert, QUERY, DOCUMENTS)
    asked = [match.query for match in found.matches]
    assert [token.text for token in asked] == ["[CLS]", "[Q]", "Sort", "the", "list", "[SEP]", *["[MASK]"] * 6]
    assert [token.span for token in asked][2:5] == [(0, 4), (5, 8), (9, 13)]
    read = [token for token, _ in found.evidence]
    # The prompt's words are read and stand for nothing; the comma is on the skip list; what is beyond 16 tokens is cut.
    named = ["[CLS]", "[D]", "read", "sort", "a", "list", "by", "KEY", "and", "join", "strings", "[SEP]"]
    assert [token.text for token in read] == named
    assert all(found.document[slice(*token.span)] == token.text for token in read if token.span)
    assert [token.text for token in read if token.span is None] == ["[CLS]", "[D]", "read", "[SEP]"]
    assert [token.span for token, _ in empty.evidence] == [None] * 4
    assert empty.snippet() == ""
    shown = [token.text for token, _ in other.evidence if token.span]
    assert "".join(shown[:5]) == "naïve"


def test_byte_level_tokens_point_at_whole_characters() -> None:
    """A space before a word is no part of it; a character of several byte tokens is the span of each."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: number for number, piece in enumerate([*alphabet, "Ġa"])}
    inner = Tokenizer(models.BPE(vocabulary, [("Ġ", "a")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rules = LateInteractionRules(query_expansion=False, skip_words=())
    tokenizer = LateInteractionTokenizer(inner, rules, mask_id=0)
    ids = tokenizer.documents(["b a é"]).input_ids[0].tolist()
    spans = [token.span for token in tokens_of(tokenizer, "b a é", ids, side="document")]
    assert spans == [(0, 1), (2, 3), None, (4, 5), (4, 5)]


def test_a_pruned_document_is_explained_by_what_is_kept(tiny_encoder_folder: Path) -> None:
    model = ColBERT.from_pretrained(tiny_encoder_folder, dim=16, keep_share=0.5)
    assert model.pruner is not None
    torch.nn.init.normal_(model.pruner.gate[-1].weight, std=5.0)  # type: ignore[arg-type]
    (found,) = explain(model, QUERY, [DOCUMENTS[1]])
    packed = model.encode_documents([DOCUMENTS[1]])
    assert len(found.evidence) == len(packed.embeddings) < 10
    assert found.score == pytest.approx(model.score([QUERY], packed).item(), abs=1e-5)


def test_the_first_of_equals_is_the_match() -> None:
    class Letters:
        tokenizer: LateInteractionTokenizer

        def encode_queries(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
            return np.eye(2, dtype=np.float32)[None, :1], np.ones((1, 1), dtype=bool)

        def encode_documents(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
            return np.array([[0.0, 1], [1, 0], [1, 0]], dtype=np.float32), np.array([0, 3])

    inner = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    rules = LateInteractionRules(query_expansion=False, skip_words=())
    encoder = Letters()
    encoder.tokenizer = LateInteractionTokenizer(inner, rules, mask_id=0)
    (found,) = explain(encoder, "a", ["b a a"])
    assert found.matches == (Match(Token("a", (0, 1)), Token("a", (2, 3)), 1.0),)
    assert [weight for _, weight in found.evidence] == [0.0, 1.0, 0.0]
    expected = maxsim(torch.eye(2)[None, :1], torch.eye(2)[[1, 0, 0]][None]).item()
    assert found.score == expected == 1.0


HOSTILE = '<script>alert(1)</script> "quoted" & <img src=x onerror=alert(2)> \x1b[2J\x9b5n \u202etxt\u202c </p>'


def made(document: str, *weighted: tuple[int, int, float], query: str = "q") -> Explanation:
    """An explanation with given weights."""
    tokens = [(Token(document[start:end], (start, end)), weight) for start, end, weight in weighted]
    matches = tuple(Match(Token(query, (0, len(query))), token, weight) for token, weight in tokens)
    evidence = tuple(Evidence(token, weight) for token, weight in tokens)
    return Explanation(query, document, sum(weight for *_, weight in weighted), matches, evidence)


class Reader(HTMLParser):
    """The tags of a page and the text of its paragraphs and headings."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_page_shows_markup_as_text() -> None:
    end = HOSTILE.index(">") + 1
    page = made(HOSTILE, (0, end, 1.0), query=HOSTILE).to_html()
    reader = Reader()
    reader.feed(page)
    assert not {*reader.tags} & {"script", "img", "link", "iframe"}
    assert reader.tags.count("mark") == 1
    assert not any(name.startswith("on") for name in reader.attributes)
    text = "".join(reader.texts)
    assert '<script>alert(1)</script> "quoted" & <img src=x onerror=alert(2)>' in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def test_a_page_of_several_documents(colbert: ColBERT) -> None:
    found = explain(colbert, QUERY, DOCUMENTS)
    page = explanation_page(found, names=["a", "b<", "c", "d"])
    assert page.count("<article>") == 4
    assert "<h2>b&lt;: " in page
    # The deepest mark of each document that has any is full.
    assert page.count("rgba(255, 193, 7, 1.00)") >= 2
    with pytest.raises(InputError, match="names: 1 for 4"):
        explanation_page(found, names=["a"])
    with pytest.raises(InputError, match="no explanation"):
        explanation_page([])


def test_a_terminal_is_shown_colours_and_steered_by_none_but_ours() -> None:
    text = f"one two{HOSTILE[59:]}"
    found = made(text, (0, 3, 1.0), (4, 7, 0.2))
    line, answers = found.to_terminal().splitlines()
    assert line.startswith("\x1b[30;48;5;220mone\x1b[0m \x1b[30;48;5;230mtwo\x1b[0m")
    assert line.count("\x1b") == 4
    assert "\x9b" not in line
    assert "\u202e" not in line
    assert answers == "q→one 1.00  q→two 0.20"
    plain = found.to_terminal(colour=False).splitlines()[0]
    assert plain.startswith("*one* *two*")
    assert "\x1b" not in plain


def test_expansion_is_summed_up_in_a_terminal(colbert: ColBERT) -> None:
    found = explain(colbert, QUERY, [DOCUMENTS[1]])[0]
    rest = sum(match.similarity for match in found.matches if match.query.span is None)
    assert found.to_terminal(colour=False).endswith(f"  9 other tokens {rest:.2f}")
    assert [row["query_token"] for row in found.to_dict()["matches"]][2:5] == ["Sort", "the", "list"]


WORDS = " ".join(f"word{place:02d}" for place in range(30))


@pytest.mark.parametrize("width", [1, 6, 13, 20, 55, 1000])
def test_a_window_holds_the_most_evidence(width: int) -> None:
    weights = [(place * 7, place * 7 + 6, (place * 7919 % 13) / 13 - 0.1) for place in range(30)]
    found = made(WORDS, *weights)
    start, end = found.window(width)
    assert end - start <= width
    spans = [(span, weight) for *span, weight in weights]

    def held(first: int, last: int) -> float:
        return sum(max(weight, 0.0) for span, weight in spans if first <= span[0] < last)

    if width >= 6:
        ends = [(first, last) for (first, _), _ in spans for (_, last), _ in spans if 0 < last - first <= width]
        assert held(start, end) == pytest.approx(max(held(*each) for each in ends))
        assert all(edge in (0, len(WORDS)) or " " in WORDS[edge - 1 : edge + 1] for edge in (start, end))
        snippet = found.snippet(width)
        assert snippet.strip("… ") == WORDS[start:end]
        assert snippet.startswith("…") == (start > 0)
        assert snippet.endswith("…") == (end < len(WORDS))


def test_the_evidence_stands_in_the_middle_of_its_window() -> None:
    assert best_window(WORDS, [((105, 111), 1.0)], 48) == (84, 132)
    assert best_window(WORDS, [], 13) == (0, 13)
    assert best_window("漢" * 50, [((40, 41), 1.0)], 10) == (40, 50)
    with pytest.raises(InputError, match="width=0"):
        made("a").snippet(0)


def test_runs_cover_the_text_and_add_overlaps() -> None:
    runs = runs_of([((2, 3), 0.5), ((2, 3), 0.5), ((5, 8), 0.25), ((9, 10), -1.0)], 0, 12)
    assert [run.start for run in runs] == [0, *(run.end for run in runs[:-1])]
    assert all(left.end == right.start for left, right in pairwise(runs))
    assert {(run.start, run.end): run.share for run in runs if run.share} == {(2, 3): 1.0, (5, 8): 0.25}


@pytest.mark.parametrize(
    ("query", "documents", "error", "message"),
    [
        (" ", ["a"], InputError, "query 0 .* is empty"),
        ("a", [], InputError, "no document given"),
        ("a", "text", TypeError, "one string; wrap it in a list"),
    ],
)
def test_bad_input(query: str, documents: Any, error: type[Exception], message: str, colbert: ColBERT) -> None:
    with pytest.raises(error, match=message):
        explain(colbert, query, documents)


def test_a_cross_encoder_has_no_parts(tiny_ranker: Callable[[str], Any]) -> None:
    encoder = tiny_ranker("mean")
    assert isinstance(encoder, CrossEncoder)
    with pytest.raises(InputError, match="CrossEncoder is no ColBERT"):
        explain(encoder, "a", ["b"])  # type: ignore[arg-type]
