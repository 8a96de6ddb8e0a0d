"""Answers keep within the context, cite what was shown, and do not depend on their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from rankgrad._checks import InputError
from rankgrad.pipeline import AnswerTemplate, AnswerTokenizer, Generate, find_citations
from rankgrad.types import Ranking

DOCUMENTS = ("open a file and read its lines", "sort the values of a dictionary", " ", "return the number of items")
SHORT = AnswerTemplate(before="", document="{number} ", between="", after="{query}")


def ranking(*rows: Sequence[int]) -> Ranking:
    """Rows of document numbers, padded."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[-1] * (width - len(row))] for row in rows])
    return Ranking(ids, -torch.arange(width).float().expand(ids.shape).masked_fill(ids < 0, torch.inf), ids >= 0)


class Scripted(nn.Module):
    """Writes the next of given texts behind each prompt, and keeps what it was asked."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> None:
        super().__init__()
        self.tokenizer, self.texts = tokenizer, list(texts)
        self.asked: list[dict[str, Any]] = []

    def generate(self, **asked: Any) -> Tensor:
        self.asked.append(asked)
        assert not torch.is_grad_enabled()
        prompts = asked["input_ids"]
        written = [self.tokenizer.encode(self.texts.pop(0), add_special_tokens=False) for _ in prompts]
        width = max(map(len, written))
        padded = [row + [asked["pad_token_id"]] * (width - len(row)) for row in written]
        return torch.cat([prompts, torch.tensor(padded)], dim=1)


@pytest.fixture
def tokenizer(tiny_tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer, unk_token="[UNK]", pad_token="[PAD]")


def test_citations_lead_to_the_documents_that_were_shown(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = ["read its lines [ 2 ] and [1, 7].", "no source"]
    model = Scripted(tokenizer, texts)
    stage = Generate(model, tokenizer, DOCUMENTS, max_new_tokens=20, max_length=400)
    answers = stage(["open a file", "sort", "items"], ranking([1, 2, 0, 3], [3], []))
    # The empty document is not shown, and so has no number.
    assert answers[0].shown == (1, 0, 3)
    assert [(each.number, each.id) for each in answers[0].citations] == [(2, 0), (1, 1), (7, None)]
    assert answers[0].cited == (0, 1)
    for each in answers[0].citations:
        assert answers[0].text[each.start] == "["
        assert str(each.number) in answers[0].text[each.start : each.end]
    assert answers[1].shown == (3,)
    assert answers[1].citations == ()
    assert answers[2] == ("", (), ())
    assert len(model.asked) == 1
    (asked,) = model.asked
    lengths = asked["attention_mask"].sum(dim=1)
    assert lengths[0] > lengths[1]
    assert bool((asked["attention_mask"].diff(dim=1) >= 0).all()), "padding stands on the left"
    assert (asked["do_sample"], asked["max_new_tokens"]) == (False, 20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1][2]", [(1, 40), (2, 70)]),
        ("[2, 1; 2]", [(2, 70), (1, 40), (2, 70)]),
        ("[3] [0] [x] [1.] 1 (2)", [(3, None), (0, None)]),
        ("", []),
    ],
)
def test_find_citations(text: str, expected: list[tuple[int, int | None]]) -> None:
    assert [(each.number, each.id) for each in find_citations(text, [40, 70])] == expected


def words(tokenizer: Tokenizer, prompt: Sequence[int]) -> str:
    return tokenizer.decode(list(prompt), skip_special_tokens=True)


def test_documents_share_the_room_that_is_left(tiny_tokenizer: Tokenizer) -> None:
    long, short = "return the number of items in a list", "open a file"
    exact = AnswerTokenizer(tiny_tokenizer, SHORT, max_length=1 + 2 + 3 * 1 + 5 + 3 + 5, query_length=2, least=2)
    prompt = exact("sort values key", [long, short, long])
    assert prompt.documents == 3
    # [CLS], three numbers, two words of the question: 13 of 19 are left, 5 for each long one.
    assert words(tiny_tokenizer, prompt.ids) == (
        "1 return the number of items 2 open a file 3 return the number of items sort values"
    )
    assert len(prompt.ids) == 19
    # One token less costs both long ones one: they are cut alike.
    one_less = AnswerTokenizer(tiny_tokenizer, SHORT, max_length=18, query_length=2, least=2)
    assert words(tiny_tokenizer, one_less("sort values", [long, short, long]).ids).count("of items") == 0
    # With more worth showing a document with, the last is left out and the room is the others'.
    fewer = AnswerTokenizer(tiny_tokenizer, SHORT, max_length=19, query_length=2, least=6)
    assert words(tiny_tokenizer, fewer("sort values", [long, short, long]).ids) == (
        "1 return the number of items in a list 2 open a file sort values"
    )


def test_a_random_model_answers_alone_as_in_a_batch(tiny_decoder_folder: Path) -> None:
    stage = Generate.from_pretrained(tiny_decoder_folder, DOCUMENTS, k=2, max_new_tokens=6, batch_size=2)
    queries, found = ["open a file", "sort the values of a dictionary by key", "raise"], ranking([0, 1], [1], [3, 0])
    together = stage(queries, found)
    assert [answer.shown for answer in together] == [(0, 1), (1,), (3, 0)]
    assert any(answer.text for answer in together)
    for row, query in enumerate(queries):
        alone = stage([query], Ranking(*(field[row : row + 1] for field in found)))
        assert alone == [together[row]]
    prompt = stage.prompt("open a file", [0, 1])
    assert "1 ] open a file and read its lines" in prompt
    assert prompt.rstrip().endswith("open a file answer :")


def test_what_it_writes_is_the_most_probable_continuation(tiny_decoder_folder: Path) -> None:
    stage = Generate.from_pretrained(tiny_decoder_folder, DOCUMENTS, k=1, max_new_tokens=3)
    ids = stage.tokenizer("open", [DOCUMENTS[0]]).ids
    written: list[int] = []
    with torch.no_grad():
        for _ in range(3):
            written.append(int(stage.model(torch.tensor([ids + written])).logits[0, -1].argmax()))
    expected = stage.text_tokenizer.decode(written, skip_special_tokens=True).strip()
    assert stage(["open"], ranking([0]))[0].text == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda make: make(documents=()), "no document given"),
        (lambda make: make(k=0), "k=0"),
        (lambda make: make(max_new_tokens=0), "both are at least 1"),
        (lambda make: make(max_length=100), "max_length=100 leaves no room for a document of 16 tokens"),
        (lambda make: make(max_length=390, max_new_tokens=200), "more than the 512 positions"),
        (lambda make: make()(["sort"], ranking([0], [1])), "2 rows for 1 queries"),
        (lambda make: make()([" "], ranking([0])), "query 0 .* is empty"),
        (lambda make: make()(["sort"], ranking([9])), "build both on the same collection"),
        (lambda make: AnswerTemplate(after="no place"), "it needs {query} once"),
        (lambda make: AnswerTemplate(document="[1]"), "it needs {number} once"),
    ],
)
def test_bad_input(
    call: Callable[[Callable[..., Generate]], object], message: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    def make(documents: Sequence[str] = DOCUMENTS, **options: Any) -> Generate:
        model = Scripted(tokenizer, [])
        model.config = type("Config", (), {"max_position_embeddings": 512})()  # type: ignore[assignment]
        return Generate(model, tokenizer, documents, **options)

    with pytest.raises(InputError, match=message):
        call(make)
