"""From the texts of a request to its scores or embeddings, through the shared runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rankgrad.deploy.causal_reranker import CausalReranker
from rankgrad.deploy.colbert import ColBERT
from rankgrad.deploy.cross_encoder import CrossEncoder
from rankgrad.deploy.maxsim import PackedTokens, maxsim
from rankgrad.deploy.serve.batching import Batcher, join
from rankgrad.deploy.serve.schemas import Kind
from rankgrad.tokens import Tokens


class Scores(NamedTuple):
    """Scores of documents, float64 ``[documents]``, and how many tokens they took.

    ``raw`` is what the model gives; ``relevance`` the same order on a fixed scale.
    """

    raw: np.ndarray
    relevance: np.ndarray
    tokens: int


class PairEngine:
    """Scores of a model of pairs: raw are the logits, relevance is their sigmoid, between 0 and 1."""

    def __init__(self, model: CrossEncoder | CausalReranker, batcher: Batcher) -> None:
        self.kind: Kind = "cross_encoder" if isinstance(model, CrossEncoder) else "causal_reranker"
        self.model = model
        self.batcher = batcher

    async def score(self, query: str, documents: Sequence[str]) -> Scores:
        """Score each distinct document once."""
        distinct = list(dict.fromkeys(documents))
        with self.batcher.coming():
            tokens = await asyncio.to_thread(self.model.tokenizer, [query] * len(distinct), distinct)
            future = self.batcher.submit(tokens)
        found = np.array([output[0] for output in await asyncio.wrap_future(future)], dtype=np.float64)
        raw = _spread(documents, distinct, found)
        return Scores(raw, _sigmoid(raw), int(tokens.attention_mask.sum()))


class LateEngine:
    """Scores and embeddings of a ColBERT.

    Raw is MaxSim, a sum over the query's tokens; relevance the mean over them, between -1 and 1, weighed as the model
    weighs them (0 where all weights are). A document without a token that counts has the lowest score there is: -1
    times the sum of the weights, which are 1 a token of the query where the model has none.
    """

    kind: Kind = "colbert"

    def __init__(self, model: ColBERT, batcher: Batcher) -> None:
        self.model = model
        self.batcher = batcher

    async def score(self, query: str, documents: Sequence[str]) -> Scores:
        """Encode the query and each distinct document, and compare them."""
        distinct = list(dict.fromkeys(documents))
        with self.batcher.coming():
            tokens = await asyncio.to_thread(self._tokenize, query, distinct)
            future = self.batcher.submit(tokens)
        asked, *others = _scored(await asyncio.wrap_future(future), tokens)
        weights = self.model.weights(tokens.input_ids[0])[tokens.scored[0]]
        total = float(weights.sum(dtype=np.float64))
        found = await asyncio.to_thread(_late_scores, asked * weights[:, None], others, lowest=-total)
        raw = _spread(documents, distinct, found)
        return Scores(raw, raw / total if total else np.zeros_like(raw), int(tokens.attention_mask.sum()))

    async def embed(self, texts: Sequence[str], *, queries: bool) -> tuple[list[np.ndarray], int]:
        """Token embeddings float32 ``[tokens, dim]`` of each text, those that MaxSim scores, and the tokens read."""
        tokenize = self.model.tokenizer.queries if queries else self.model.tokenizer.documents
        with self.batcher.coming():
            tokens = await asyncio.to_thread(tokenize, texts)
            future = self.batcher.submit(tokens)
        found = _scored(await asyncio.wrap_future(future), tokens)
        if queries:
            weights = _scored(self.model.weights(tokens.input_ids), tokens)
            found = [rows * of[:, None] for rows, of in zip(found, weights, strict=True)]
        return found, int(tokens.attention_mask.sum())

    def _tokenize(self, query: str, documents: Sequence[str]) -> Tokens:
        tokenizer = self.model.tokenizer
        return join([tokenizer.queries([query]), tokenizer.documents(documents)], pad_id=tokenizer.pad_id)


def _scored(outputs: Sequence[np.ndarray] | np.ndarray, tokens: Tokens) -> list[np.ndarray]:
    """What each output has for the tokens that take part in MaxSim."""
    return [output[scored[: len(output)]] for output, scored in zip(outputs, tokens.scored, strict=True)]


def _late_scores(query: np.ndarray, documents: Sequence[np.ndarray], *, lowest: float) -> np.ndarray:
    """MaxSim of a query's rows with each document's; ``lowest`` for a document without rows."""
    ends = np.cumsum([0, *map(len, documents)])
    scores = maxsim(query, PackedTokens(np.concatenate(documents), ends)).astype(np.float64)
    return np.where(np.isfinite(scores), scores, lowest)


def _spread(documents: Sequence[str], distinct: Sequence[str], scores: np.ndarray) -> np.ndarray:
    """The score of every document, copies included."""
    place = {text: row for row, text in enumerate(distinct)}
    return scores[[place[text] for text in documents]]


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * values))
