"""How a query and a document become the prompt of a decoder. Needs numpy and tokenizers only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rankgrad._checks import InputError
from rankgrad.tokens import Tokens, padded_tokens, unbounded

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"


@dataclass(frozen=True)
class PromptTemplate:
    """The text around a query and a document, and the words that the model answers with.

    The defaults are the prompt of Qwen3-Reranker.

    Args:
        before: text before the rest, tokenized by itself.
        body: text with ``{query}`` once and ``{document}`` at its end; long documents are cut there.
        after: text after the document, tokenized by itself.
        instruction: takes the place of ``{instruction}`` in the three.
        yes: the answer of a relevant document, one token.
        no: the answer of another, one token; None = the score is the logit of ``yes`` alone.

    Raises:
        InputError: for a body without its places.

    Example:
        >>> template = PromptTemplate(before="", body="A: {query} B: {document}", after=" ?", instruction="")
        >>> template.text("Norway", "Oslo")
        'A: Norway B: Oslo'
    """

    before: str = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    )
    body: str = "<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}"
    after: str = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    instruction: str = _SEARCH
    yes: str = "yes"
    no: str | None = "no"

    def __post_init__(self) -> None:
        places = self.body.count("{query}"), self.body.count("{document}")
        if places != (1, 1) or not self.body.endswith("{document}"):
            raise InputError(f"body={self.body!r}: it needs {{query}} once, and {{document}} once, at its end")

    def text(self, query: str, document: str) -> str:
        """The body with its places filled."""
        lead, _, rest = self.filled("body").partition("{query}")
        return lead + query + rest.removesuffix("{document}") + document

    def filled(self, part: str) -> str:
        """``before``, ``body`` or ``after`` with the instruction in its place."""
        parts = {"before": self.before, "body": self.body, "after": self.after}
        return parts[part].replace("{instruction}", self.instruction)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


QWEN3 = PromptTemplate()
BGE_GEMMA = PromptTemplate(
    before="",
    body="A: {query}\nB: {document}",
    after="\n{instruction}",
    instruction=(
        "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
        "prediction of either 'Yes' or 'No'."
    ),
    yes="Yes",
    no=None,
)

BGE_LIGHTWEIGHT = replace(BGE_GEMMA, instruction="Predict whether passage B contains an answer to query A.")


@dataclass(frozen=True)
class PromptTokenizer:
    """Tokenizes (query, document) pairs as prompts: special tokens that begin a text, before, body, after.

    Nothing stands behind a prompt but padding: the model's answer comes at its last token.

    Args:
        tokenizer: a ``tokenizers.Tokenizer`` (``AutoTokenizer(...).backend_tokenizer``).
        template: the prompt.
        max_length: tokens of a whole prompt; only the document is cut.
        query_length: tokens of a query; longer queries are cut.
        pad_id: the id that fills short rows.

    Attributes:
        cut: how many pairs had a longer document than there was room for, so far.

    Raises:
        InputError: for lengths that leave no room for a document, or an answer that is not one token.
    """

    tokenizer: Tokenizer = field(repr=False)
    template: PromptTemplate = QWEN3
    max_length: int = 512
    query_length: int = 64
    pad_id: int = 0
    cut: Counter[str] = field(default_factory=Counter, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        unbounded(self.tokenizer)
        lead, tail = self._around()
        around = len(lead) + len(tail) + len(self._ids(self.template.text("", "")))
        if self.query_length < 1 or self.max_length < around + self.query_length + 1:
            raise InputError(
                f"max_length={self.max_length} leaves no room for a document after a prompt of {around} tokens and a "
                f"query of query_length={self.query_length}: raise max_length or lower query_length"
            )

    def __call__(self, queries: Sequence[str], documents: Sequence[str]) -> Tokens:
        """Tokenize pair i = (``queries[i]``, ``documents[i]``)."""
        if len(queries) != len(documents):
            raise InputError(f"queries and documents pair up: got {len(queries)} and {len(documents)}")
        unbounded(self.tokenizer)
        cut = {query: self._cut(query) for query in dict.fromkeys(queries)}
        pairs = zip(queries, documents, strict=True)
        bodies = [self.template.text(cut[query], document) for query, document in pairs]
        lead, tail = self._around()
        room = self.max_length - len(lead) - len(tail)
        encoded = self.tokenizer.encode_batch(bodies, add_special_tokens=False)
        self.cut["document"] += sum(len(body.ids) > room for body in encoded)
        return padded_tokens([[*lead, *body.ids[:room], *tail] for body in encoded], pad_id=self.pad_id)

    @property
    def answers(self) -> tuple[int, int | None]:
        """The ids of ``yes`` and ``no``.

        Raises:
            InputError: for an answer that is not one token.
        """
        yes = self._answer("yes", self.template.yes)
        return yes, None if self.template.no is None else self._answer("no", self.template.no)

    def settings(self) -> dict[str, Any]:
        """What a folder must record to tokenize the same way."""
        lengths = {"max_length": self.max_length, "query_length": self.query_length}
        return lengths | {"template": self.template.to_dict()}

    def _answer(self, name: str, text: str) -> int:
        ids = self._ids(text)
        if len(ids) != 1:
            raise InputError(f"{name}={text!r} is {len(ids)} tokens of this tokenizer: choose an answer that is one")
        return ids[0]

    def _around(self) -> tuple[list[int], list[int]]:
        """The ids before and after the body."""
        alone = self.tokenizer.encode("a")
        special = alone.special_tokens_mask.index(0)
        return [*alone.ids[:special], *self._ids(self.template.filled("before"))], self._ids(
            self.template.filled("after")
        )

    def _cut(self, query: str) -> str:
        """The words of a query that its length leaves."""
        encoding = self.tokenizer.encode(query, add_special_tokens=False)
        if len(encoding.ids) <= self.query_length:
            return query
        return query[: encoding.offsets[self.query_length - 1][1]]

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids
