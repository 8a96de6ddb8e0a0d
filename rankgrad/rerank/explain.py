"""Why late interaction gave a document its score: which of its tokens answered which token of the query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from rankgrad._checks import InputError, check_texts
from rankgrad._modes import frozen
from rankgrad.data.collate import TextTokens
from rankgrad.modules.token_pruner import TokenPruner
from rankgrad.rerank._evidence import best_window
from rankgrad.rerank._token_spans import Span, Token, tokens_of
from rankgrad.tokens import LateInteractionTokenizer, Tokens


class ExplainedEncoder(Protocol):
    """A :class:`rankgrad.models.ColBERT` or a :class:`rankgrad.deploy.ColBERT`."""

    @property
    def tokenizer(self) -> LateInteractionTokenizer: ...

    def encode_queries(self, texts: Sequence[str]) -> Any: ...

    def encode_documents(self, texts: Sequence[str]) -> Any: ...


class Match(NamedTuple):
    """A query token and the document token most like it: of equals the first."""

    query: Token
    document: Token
    similarity: float


class Evidence(NamedTuple):
    """A document token and its part of the score: the similarities of the query tokens that chose it, added up."""

    token: Token
    weight: float


@dataclass(frozen=True)
class Explanation:
    """One document's score, taken apart.

    The similarities of the matches add up to the score, and so do the weights of the evidence.

    Args:
        query, document: the texts.
        score: MaxSim; ``-inf`` for a document without a token that MaxSim reads.
        matches: one a query token that takes part in MaxSim, in the query's order.
        evidence: one a document token that takes part, in the document's order.
    """

    query: str
    document: str
    score: float
    matches: tuple[Match, ...] = field(repr=False)
    evidence: tuple[Evidence, ...] = field(repr=False)

    def weighted_spans(self) -> list[tuple[Span, float]]:
        """The evidence that stands for characters of the document, without what nothing chose."""
        return [(token.span, weight) for token, weight in self.evidence if token.span is not None and weight]

    def window(self, width: int = 160) -> Span:
        """First character, and the one behind the last, of the whole words that hold the most evidence.

        Args:
            width: characters at most.

        Raises:
            InputError: for a width below 1.
        """
        if width < 1:
            raise InputError(f"width={width}: a window needs at least 1 character")
        return best_window(self.document, self.weighted_spans(), width)

    def snippet(self, width: int = 160) -> str:
        """The window with the most evidence on one line; an ellipsis where text is left out.

        Args:
            width: characters at most, ellipses not counted.

        Raises:
            InputError: for a width below 1.
        """
        start, end = self.window(width)
        before = "… " if self.document[:start].strip() else ""
        after = " …" if self.document[end:].strip() else ""
        return before + " ".join(self.document[start:end].split()) + after

    def to_html(self) -> str:
        """A whole page by itself; see :func:`rankgrad.rerank.explanation_page`."""
        from rankgrad.rerank.explanation_page import explanation_page

        return explanation_page([self])

    def to_terminal(self, *, width: int | None = None, colour: bool = True) -> str:
        """Lines for a terminal; see :func:`rankgrad.rerank.explanation_lines`."""
        from rankgrad.rerank.explanation_lines import explanation_lines

        return "\n".join(explanation_lines(self, width=width, colour=colour))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the score and the matches."""
        matches = [
            {
                "query_token": query.text,
                "query_span": query.span,
                "document_token": document.text,
                "document_span": document.span,
                "similarity": similarity,
            }
            for query, document, similarity in self.matches
        ]
        return {"score": self.score, "matches": matches}


def explain(encoder: ExplainedEncoder, query: str, documents: Sequence[str]) -> list[Explanation]:
    r"""Take the late-interaction scores of some documents apart.

    The score is :math:`\sum_i \max_j q_i \cdot d_j`. Token i of the query is matched with the document token at which
    its maximum stands, and that document token gains the similarity as weight. Query expansion takes part: its
    ``[MASK]`` tokens are matched too, and stand for no characters.

    Args:
        encoder: a ColBERT, in torch or exported.
        query: what is looked for.
        documents: any number of texts; what its tokenizer cuts off has no part in the score.

    Returns:
        One explanation a document, in the order given.

    Raises:
        TypeError: for documents that are one string, or no strings.
        InputError: for an empty query or no documents, or an encoder that is no ColBERT.

    Reference:
        O. Khattab, M. Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction
        over BERT", SIGIR 2020.
    """
    check_texts([query], "query")
    check_texts(documents, "document", allow_blank=True)
    tokenizer = getattr(encoder, "tokenizer", None)
    if not isinstance(tokenizer, LateInteractionTokenizer):
        raise InputError(f"encoder: {type(encoder).__name__} is no ColBERT: no other score has parts by token")
    with frozen(encoder):
        embedded, mask = encoder.encode_queries([query])
        query_vectors, taking_part = _array(embedded)[0], _array(mask)[0].astype(bool)
        row = tokenizer.queries([query]).input_ids[0].tolist()
        tokens = tokens_of(tokenizer, query, row, side="query")
        asked = [token for token, real in zip(tokens, taking_part, strict=True) if real]
        return [
            _explained(query, text, asked, query_vectors[taking_part] @ vectors.T, read)
            for text, (vectors, read) in zip(documents, _documents(encoder, tokenizer, documents), strict=True)
        ]


def _explained(
    query: str, document: str, asked: Sequence[Token], similarities: np.ndarray, read: Sequence[Token]
) -> Explanation:
    """An explanation from ``[query tokens, document tokens]``."""
    if not read:
        return Explanation(query, document, -np.inf, (), ())
    chosen = similarities.argmax(axis=1)
    values = similarities[np.arange(len(asked)), chosen].astype(np.float64)
    weights = np.bincount(chosen, weights=values, minlength=len(read))
    pairs = zip(asked, chosen.tolist(), values.tolist(), strict=True)
    matches = tuple(Match(token, read[place], value) for token, place, value in pairs)
    evidence = tuple(Evidence(token, weight) for token, weight in zip(read, weights.tolist(), strict=True))
    return Explanation(query, document, float(values.sum()), matches, evidence)


def _documents(
    encoder: ExplainedEncoder, tokenizer: LateInteractionTokenizer, texts: Sequence[str]
) -> Iterator[tuple[np.ndarray, list[Token]]]:
    """Of each document the embeddings ``[tokens, dim]`` that MaxSim reads, and the tokens they are of."""
    tokens = tokenizer.documents(texts)
    embeddings, boundaries = (_array(part) for part in encoder.encode_documents(texts))
    kept = _kept(encoder, tokens)
    for row, text in enumerate(texts):
        every = tokens_of(tokenizer, text, tokens.input_ids[row].tolist(), side="document")
        read = [token for token, real in zip(every, kept[row], strict=True) if real]
        yield embeddings[boundaries[row] : boundaries[row + 1]], read


def _kept(encoder: ExplainedEncoder, tokens: Tokens) -> np.ndarray:
    """Which tokens of each document its embeddings are of: those that are scored and that a pruner leaves."""
    pruner = getattr(encoder, "pruner", None)
    if not isinstance(pruner, TokenPruner):
        return tokens.scored
    device = next(pruner.parameters()).device
    batch = TextTokens(*(torch.from_numpy(each).to(device) for each in tokens))
    return _array(pruner.kept(encoder.embed_documents(batch), batch.scored))  # type: ignore[attr-defined]


def _array(values: Any) -> np.ndarray:
    found = torch.as_tensor(values).detach().cpu()
    return (found.float() if found.is_floating_point() else found).numpy()
