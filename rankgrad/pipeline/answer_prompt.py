"""A question and the documents to answer it from as the prompt of a decoder, within its context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import TYPE_CHECKING, NamedTuple

from rankgrad._checks import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class AnswerTemplate:
    """The text around a question and its documents.

    Models tuned to chat want their own marks around it: put them into ``before`` and ``after``.

    Args:
        before: text before the documents.
        document: text before each document, with ``{number}`` in it, counted from 1.
        between: text behind each document.
        after: text behind the documents, with ``{query}`` in it; what the model writes follows it.

    Raises:
        InputError: for a part without its place.

    Example:
        >>> AnswerTemplate(after="Q: {query} A:").after
        'Q: {query} A:'
    """

    before: str = (
        "Answer the question from the documents below, in a sentence or two. Name the document of each statement by "
        "its number in brackets, as in [1]. If they do not hold the answer, say so.\n\n"
    )
    document: str = "[{number}] "
    between: str = "\n\n"
    after: str = "Question: {query}\nAnswer:"

    def __post_init__(self) -> None:
        for name, place in (("document", "{number}"), ("after", "{query}")):
            if getattr(self, name).count(place) != 1:
                raise InputError(f"{name}={getattr(self, name)!r}: it needs {place} once")


class AnswerPrompt(NamedTuple):
    """Token ids, and how many of the documents are in them."""

    ids: list[int]
    documents: int


@dataclass(frozen=True)
class AnswerTokenizer:
    """Tokenizes a question and documents, best first, into at most ``max_length`` tokens.

    Documents share the room that instruction and question leave: each keeps its first c tokens, c being the largest
    number at which all fit, so what short ones do not need goes to the long. Where c would be less than ``least``, the
    last documents are left out until it is not. Parts are tokenized apart, so the length holds exactly.

    Args:
        tokenizer: a ``tokenizers.Tokenizer`` (``AutoTokenizer(...).backend_tokenizer``).
        template: the text around.
        max_length: tokens of a prompt.
        query_length: tokens of a question; longer ones lose their end.
        least: tokens that a document is worth showing with.

    Raises:
        InputError: for lengths that leave no room for a document.
    """

    tokenizer: Tokenizer = field(repr=False)
    template: AnswerTemplate = AnswerTemplate()
    max_length: int = 1024
    query_length: int = 128
    least: int = 16

    def __post_init__(self) -> None:
        if self.query_length < 1 or self.least < 1:
            raise InputError(f"query_length={self.query_length}, least={self.least}: both are at least 1")
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        around = len(self._lead()) + len(self._after("")) + sum(map(len, self._frame(1)))
        if self.max_length < around + self.query_length + self.least:
            raise InputError(
                f"max_length={self.max_length} leaves no room for a document of {self.least} tokens beside an "
                f"instruction of {around} and a question of query_length={self.query_length}: raise max_length"
            )

    def __call__(self, query: str, documents: Sequence[str]) -> AnswerPrompt:
        """Make one prompt."""
        lead, after = self._lead(), self._after(query)
        texts = [self._ids(text) for text in documents]
        frames = [self._frame(number) for number in range(1, len(texts) + 1)]
        room = self.max_length - len(lead) - len(after)
        needs = [
            len(head) + min(len(text), self.least) + len(tail) for text, (head, tail) in zip(texts, frames, strict=True)
        ]
        count = sum(need <= room for need in accumulate(needs))
        texts, frames = texts[:count], frames[:count]
        longest = _longest([len(text) for text in texts], room - sum(len(head) + len(tail) for head, tail in frames))
        shown = [[*head, *text[:longest], *tail] for text, (head, tail) in zip(texts, frames, strict=True)]
        return AnswerPrompt([*lead, *chain.from_iterable(shown), *after], count)

    def _lead(self) -> list[int]:
        """The special tokens that begin a text, and the instruction."""
        alone = self.tokenizer.encode("a")
        return [*alone.ids[: alone.special_tokens_mask.index(0)], *self._ids(self.template.before)]

    def _after(self, query: str) -> list[int]:
        before, _, behind = self.template.after.partition("{query}")
        return [*self._ids(before), *self._ids(query)[: self.query_length], *self._ids(behind)]

    def _frame(self, number: int) -> tuple[list[int], list[int]]:
        """What stands before and behind a document."""
        head = self.template.document.replace("{number}", str(number))
        return self._ids(head), self._ids(self.template.between)

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids if text else []


def _longest(lengths: Sequence[int], room: int) -> int:
    """The largest c at which the sum of ``min(length, c)`` is at most ``room``."""
    for place, length in enumerate(sorted(lengths)):
        share = room // (len(lengths) - place)
        if length > share:
            return share
        room -= length
    return max(lengths, default=0)
