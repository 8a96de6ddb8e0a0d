"""How text becomes token ids: one rule for training, ranking and the artifact. Needs numpy and tokenizers only."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rankgrad._checks import InputError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

PUNCTUATION: tuple[str, ...] = tuple(string.punctuation)


class Tokens(NamedTuple):
    """A padded batch of token sequences.

    Shape:
        input_ids: int64 ``[batch, tokens]``.
        attention_mask: int64 ``[batch, tokens]``, 1 = the encoder attends to it.
        token_type_ids: int64 ``[batch, tokens]``, 1 = the second text of a pair.
        scored: bool ``[batch, tokens]``, True = takes part in MaxSim.
    """

    input_ids: np.ndarray
    attention_mask: np.ndarray
    token_type_ids: np.ndarray
    scored: np.ndarray

    def groups(self, size: int) -> list[Tokens]:
        """Cut into runs of ``size`` rows, each trimmed to its own longest row."""
        starts = range(0, len(self.input_ids), size)
        return [Tokens(*(field[start : start + size] for field in self)).trimmed() for start in starts]

    def trimmed(self) -> Tokens:
        """Drop the columns that no row attends to or scores."""
        used = (self.attention_mask.astype(bool) | self.scored).any(axis=0)
        width = max(int(np.flatnonzero(used)[-1]) + 1, 1) if used.any() else 1
        return Tokens(*(field[:, :width] for field in self))

    @property
    def lengths(self) -> np.ndarray:
        """Tokens a row that the encoder attends to, int64 ``[batch]``."""
        return self.attention_mask.sum(axis=1)


@dataclass(frozen=True)
class PairTokenizer:
    """Tokenizes (query, document) pairs for a cross-encoder: ``[CLS] query [SEP] document [SEP]``.

    Args:
        tokenizer: a ``tokenizers.Tokenizer`` (``AutoTokenizer(...).backend_tokenizer``).
        max_length: tokens of a whole pair; only the document is cut.
        query_length: tokens of a query without the special ones and the prompt; longer queries are cut.
        pad_id: the id that fills short rows.
        query_prompt: text put before each query; empty for none.

    Attributes:
        cut: how many pairs had a longer document than there was room for, so far.

    Raises:
        InputError: for lengths that leave no room for a document.
    """

    tokenizer: Tokenizer = field(repr=False)
    max_length: int = 256
    query_length: int = 64
    pad_id: int = 0
    query_prompt: str = ""
    cut: Counter[str] = field(default_factory=Counter, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        unbounded(self.tokenizer)
        around = self.tokenizer.num_special_tokens_to_add(True) + self.prompt_length
        if self.query_length < 1 or self.max_length < self.query_length + around + 1:
            beside = "special tokens" + (" and those of query_prompt" if self.query_prompt else "")
            raise InputError(
                f"max_length={self.max_length} leaves no room for a document after a query of "
                f"query_length={self.query_length} and {around} {beside}: raise max_length or lower query_length"
            )

    def __call__(self, queries: Sequence[str], documents: Sequence[str]) -> Tokens:
        """Tokenize pair i = (``queries[i]``, ``documents[i]``)."""
        if len(queries) != len(documents):
            raise InputError(f"queries and documents pair up: got {len(queries)} and {len(documents)}")
        tokenizer = self.tokenizer
        unbounded(tokenizer)
        texts = list(dict.fromkeys(queries))
        prompted = [self.query_prompt + text for text in texts] if self.query_prompt else texts
        known = dict(zip(texts, tokenizer.encode_batch(prompted, add_special_tokens=False), strict=True))
        longest = self.query_length + self.prompt_length
        for query in known.values():
            query.truncate(longest)
        room = self.max_length - tokenizer.num_special_tokens_to_add(True)
        pairs = []
        encoded = tokenizer.encode_batch(list(documents), add_special_tokens=False)
        for query, document in zip(queries, encoded, strict=True):
            left = room - len(known[query].ids)
            self.cut["document"] += len(document.ids) > left
            document.truncate(left)
            pairs.append(tokenizer.post_process(known[query], document))
        return _pad([pair.ids for pair in pairs], pad_id=self.pad_id, types=[_segments(pair) for pair in pairs])

    def settings(self) -> dict[str, Any]:
        """What an artifact must record to tokenize the same way."""
        prompt = {"query_prompt": self.query_prompt} if self.query_prompt else {}
        return {"max_length": self.max_length, "query_length": self.query_length, "pad_id": self.pad_id} | prompt

    @property
    def prompt_length(self) -> int:
        """Tokens of ``query_prompt``."""
        return len(self.tokenizer.encode(self.query_prompt, add_special_tokens=False).ids) if self.query_prompt else 0


@dataclass(frozen=True)
class LateInteractionRules:
    """The settings of a ColBERT tokenizer, as an artifact records them.

    Args:
        query_prefix: text of the one token put after ``[CLS]`` in queries; empty for none.
        document_prefix: the same for documents.
        query_length: tokens of a query, special ones included.
        document_length: tokens of a document, special ones included.
        query_expansion: fill queries with ``[MASK]`` up to ``query_length``; the fill takes part in MaxSim.
        attend_to_expansion: let the encoder attend to the fill.
        skip_words: document tokens left out of MaxSim (punctuation).
        query_prompt: text put before each query, after the prefix; empty for none.
        document_prompt: the same for documents.
        expansion_length: expand queries to this many tokens instead of ``query_length``, which still cuts them.
    """

    query_prefix: str = ""
    document_prefix: str = ""
    query_length: int = 32
    document_length: int = 180
    query_expansion: bool = True
    attend_to_expansion: bool = False
    skip_words: tuple[str, ...] = PUNCTUATION
    query_prompt: str = ""
    document_prompt: str = ""
    expansion_length: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"skip_words": list(self.skip_words)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LateInteractionRules:
        """The inverse of :meth:`to_dict`."""
        return cls(**{**values, "skip_words": tuple(values.get("skip_words", PUNCTUATION))})


@dataclass(frozen=True)
class LateInteractionTokenizer:
    """Tokenizes queries and documents for ColBERT.

    Args:
        tokenizer: a ``tokenizers.Tokenizer`` whose vocabulary holds the prefixes.
        rules: lengths, prefixes, expansion, skip list.
        mask_id: the id that expands queries.
        pad_id: the id that fills short documents.

    Attributes:
        cut: how many queries and documents were longer than the rules allow, so far.

    Raises:
        InputError: for a prefix that is no token, or lengths that leave no room for one.
    """

    tokenizer: Tokenizer = field(repr=False)
    rules: LateInteractionRules
    mask_id: int
    pad_id: int = 0
    cut: Counter[str] = field(default_factory=Counter, repr=False, compare=False)

    def __post_init__(self) -> None:
        unbounded(self.tokenizer)
        rules = self.rules
        for name, prefix in (("query_prefix", rules.query_prefix), ("document_prefix", rules.document_prefix)):
            if prefix and self.tokenizer.token_to_id(prefix) is None:
                raise InputError(f"{name}={prefix!r} is no token of this vocabulary: add it, or choose one that is")
        # The document's length first: a query's may have been taken from it.
        for name, prefix in (("document_length", rules.document_prefix), ("query_length", rules.query_prefix)):
            length, around = getattr(rules, name), self._around(prefix)
            if length <= around:
                raise InputError(
                    f"{name}={length} leaves no room for text beside {around} special tokens: give {around + 1} or more"
                )
        if rules.expansion_length is not None and rules.expansion_length < 1:
            raise InputError(f"expansion_length={rules.expansion_length}: give 1 or more, or None for query_length")

    def queries(self, texts: Sequence[str]) -> Tokens:
        """Tokenize queries, expanded where the rules say so."""
        rules = self.rules
        rows = self._encode(texts, "query", rules.query_prefix, rules.query_prompt, rules.query_length)
        if not rules.query_expansion:
            return _pad(rows, pad_id=self.pad_id)
        expanded = rules.expansion_length or rules.query_length
        tokens = _pad(rows, pad_id=self.pad_id, width=max([expanded, *map(len, rows)]))
        fill = (tokens.attention_mask == 0) & (np.arange(tokens.input_ids.shape[1]) < expanded)
        return tokens._replace(
            input_ids=np.where(fill, self.mask_id, tokens.input_ids),
            attention_mask=tokens.attention_mask | (fill & rules.attend_to_expansion),
            scored=tokens.scored | fill,
        )

    def documents(self, texts: Sequence[str]) -> Tokens:
        """Tokenize documents; tokens of the skip list are attended to but not scored."""
        rules = self.rules
        rows = self._encode(texts, "document", rules.document_prefix, rules.document_prompt, rules.document_length)
        tokens = _pad(rows, pad_id=self.pad_id)
        return tokens._replace(scored=tokens.scored & ~np.isin(tokens.input_ids, self.skip_ids))

    @property
    def skip_ids(self) -> np.ndarray:
        """Ids of the skip list that the vocabulary holds, int64."""
        ids = (self.tokenizer.token_to_id(word) for word in self.rules.skip_words)
        return np.array([token for token in ids if token is not None], dtype=np.int64)

    def _encode(self, texts: Sequence[str], what: str, prefix: str, prompt: str, length: int) -> list[list[int]]:
        unbounded(self.tokenizer)
        marker = [self.tokenizer.token_to_id(prefix)] if prefix else []
        room = length - self._around(prefix)
        texts = [prompt + text for text in texts] if prompt else list(texts)
        rows = []
        for encoding in self.tokenizer.encode_batch(texts, add_special_tokens=False):
            self.cut[what] += len(encoding.ids) > room
            encoding.truncate(room)
            ids = self.tokenizer.post_process(encoding).ids
            rows.append([*ids[:1], *marker, *ids[1:]])
        return rows

    def _around(self, prefix: str) -> int:
        """Tokens that are not the text's: special ones, and the prefix."""
        return self.tokenizer.num_special_tokens_to_add(False) + bool(prefix)


def padded_tokens(rows: list[list[int]], *, pad_id: int) -> Tokens:
    """Rows of ids as one batch, filled up on the right; every token takes part."""
    return _pad(rows, pad_id=pad_id)


def unbounded(tokenizer: Tokenizer) -> None:
    """Switch off the tokenizer's own padding and cutting.

    Where it is shared with a tokenizer of transformers, each call of that one may switch them on again. Nothing is
    changed where they are off: other threads may be encoding.
    """
    if tokenizer.padding is not None:
        tokenizer.no_padding()
    if tokenizer.truncation is not None:
        tokenizer.no_truncation()


def _segments(pair: Encoding) -> list[int]:
    """Segment of each token: the tokenizer's own types, or, where those are all zero (RoBERTa), the pair's sides."""
    if any(pair.type_ids):
        return pair.type_ids
    sides = pair.sequence_ids
    first = sides.index(1) if 1 in sides else len(sides)
    return [int(position >= first) for position in range(len(sides))]


def _pad(
    rows: list[list[int]], *, pad_id: int, types: list[list[int]] | None = None, width: int | None = None
) -> Tokens:
    width = width or max((len(row) for row in rows), default=1)
    shape = (len(rows), width)
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    attention = np.zeros(shape, dtype=np.int64)
    token_type_ids = np.zeros(shape, dtype=np.int64)
    for position, row in enumerate(rows):
        input_ids[position, : len(row)] = row
        attention[position, : len(row)] = 1
        if types is not None:
            token_type_ids[position, : len(row)] = types[position]
    return Tokens(input_ids, attention, token_type_ids, attention.astype(bool))
