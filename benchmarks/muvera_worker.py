"""The measuring process of the late-retrieval case: exact MaxSim, then what finds it sooner or keeps it smaller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.measure import interleaved, spread
from benchmarks.muvera_data import Encoded, load
from benchmarks.muvera_settings import DENSE, EXACT, FAISS, SKETCHES, Sketch, codecs
from benchmarks.parity import DisagreementError
from benchmarks.record import Row, row
from benchmarks.workers import answer
from rankgrad.modules import Muvera
from rankgrad.retrieve import DenseRetriever, LateInteractionRetriever
from rankgrad.types import Ranking

ALL, BEST = "MaxSim's best 100 among the first 100", "MaxSim's best 10 among the first 100"
QUALITY, TOKENS, VECTOR = "nDCG@10", "bytes of a document's tokens", "bytes of a document's vector"
RATE = "answered in a second, one at a time, from token embeddings"
TRUTH = "exact.safetensors"
DEPTH, CANDIDATES = 100, 200
_TIMED = 10
_TOLERANCE = 5e-3


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case."""
    encoded = load(job)
    setting = f"{encoded.setting}, {job['threads']} threads"
    depth = min(DEPTH, len(encoded.task.documents))
    exact = retriever(encoded, codec="fp16")
    truth = exact.rank_vectors(encoded.queries, encoded.mask, depth)
    _check(encoded, truth)
    save_file({"ids": truth.ids.contiguous()}, Path(job["folder"]) / TRUTH)
    rows = [row("", EXACT, setting, QUALITY, "nDCG", encoded.ndcg(truth))]
    rows.append(row("", EXACT, setting, TOKENS, "bytes", bytes_of_tokens(exact)))
    asked: dict[str, Callable[[int], object]] = {EXACT: _late(exact, encoded)}
    for sketch in SKETCHES[: 2 if job["quick"] else None]:
        print(f"encoding, {sketch.name}", flush=True)
        rows += _sketched(encoded, sketch, truth, setting)
    mean, means = _means(encoded)
    found = mean.rank_vectors(means, depth)
    rows += [*recalls(DENSE, setting, truth, found.ids), row("", DENSE, setting, QUALITY, "nDCG", encoded.ndcg(found))]
    rows.append(row("", DENSE, setting, VECTOR, "bytes", 4 * means.shape[1]))
    asked[DENSE] = lambda place: mean.rank_vectors(means[place : place + 1], 10)
    for name, options in codecs(job["quick"]).items():
        print(f"indexing, {name}", flush=True)
        stage = retriever(encoded, muvera=SKETCHES[0].make(encoded.queries.shape[-1]), candidates=CANDIDATES, **options)
        ranking = stage.rank_vectors(encoded.queries, encoded.mask, depth)
        if options == {"codec": "fp16"}:
            _agrees(ranking, truth)
        rows.append(row("", name, setting, QUALITY, "nDCG", encoded.ndcg(ranking)))
        if name != FAISS:
            rows.append(row("", name, setting, TOKENS, "bytes", bytes_of_tokens(stage)))
        asked[name] = _late(stage, encoded)
    return [each[1:] for each in rows + rates(asked, setting, quick=job["quick"])]


def retriever(encoded: Encoded, **options: Any) -> LateInteractionRetriever:
    """A stage over embeddings; nothing is encoded here."""
    return LateInteractionRetriever(None, embeddings=encoded.documents, **options)  # type: ignore[arg-type]


def bytes_of_tokens(stage: LateInteractionRetriever) -> float:
    """Centroids and offsets included."""
    return stage.collection.tokens.nbytes / stage.documents


def recalls(name: str, setting: str, truth: Ranking, ids: Tensor) -> list[Row]:
    """The shares of what MaxSim ranks best that are found."""
    there = (truth.ids.unsqueeze(2) == ids.unsqueeze(1)).any(2).double()
    return [
        row("", name, setting, ALL, "recall", float(there.mean())),
        row("", name, setting, BEST, "recall", float(there[:, :10].mean())),
    ]


def rates(asked: dict[str, Callable[[int], object]], setting: str, *, quick: bool) -> list[Row]:
    """Queries a second of what answers the query at a place."""
    count = 2 if quick else _TIMED
    calls = {name: lambda call=call: [call(place) for place in range(count)] for name, call in asked.items()}
    found = interleaved(calls, rounds=2 if quick else None, warm_up=1, seconds=60.0)
    return [
        row("", name, setting, RATE, "queries", spread([count / each * 1e3 for each in samples]), len(samples))
        for name, samples in found.items()
    ]


def _sketched(encoded: Encoded, sketch: Sketch, truth: Ranking, setting: str) -> list[Row]:
    """What the encodings alone find."""
    muvera: Muvera = sketch.make(encoded.queries.shape[-1])
    with torch.inference_mode():
        documents = muvera.encode_documents(encoded.documents)
        queries = muvera.encode_queries(encoded.queries, encoded.mask)
        found = DenseRetriever(None, embeddings=documents).rank_vectors(queries, truth.ids.shape[1])  # type: ignore[arg-type]
    rows = recalls(sketch.name, setting, truth, found.ids)
    rows.append(row("", sketch.name, setting, QUALITY, "nDCG", encoded.ndcg(found)))
    return [*rows, row("", sketch.name, setting, VECTOR, "bytes", 4 * muvera.encoding_dim)]


def _means(encoded: Encoded) -> tuple[DenseRetriever, Tensor]:
    """One vector a text: the mean of its token embeddings, of length 1."""
    offsets = encoded.documents.cu_seqlens.long()
    owner = torch.arange(len(offsets) - 1).repeat_interleave(offsets.diff())
    sums = torch.zeros(len(offsets) - 1, encoded.queries.shape[-1])
    sums.index_add_(0, owner, encoded.documents.embeddings.float())
    documents = torch.nn.functional.normalize(sums, dim=1)
    queries = torch.nn.functional.normalize((encoded.queries * encoded.mask.unsqueeze(2)).sum(1), dim=1)
    return DenseRetriever(None, embeddings=documents), queries  # type: ignore[arg-type]


def _late(stage: LateInteractionRetriever, encoded: Encoded) -> Callable[[int], object]:
    def ask(place: int) -> Ranking:
        return stage.rank_vectors(encoded.queries[place : place + 1], encoded.mask[place : place + 1], 10)

    return ask


def _check(encoded: Encoded, truth: Ranking) -> None:
    """The first scores of a few queries are MaxSim by its definition."""
    offsets = encoded.documents.cu_seqlens.tolist()
    for query in range(min(5, len(truth.ids))):
        for place, document in enumerate(truth.ids[query, :5].tolist()):
            tokens = encoded.documents.embeddings[offsets[document] : offsets[document + 1]].float()
            wanted = float((encoded.queries[query][encoded.mask[query]] @ tokens.T).amax(1).sum())
            found = float(truth.scores[query, place])
            if not abs(found - wanted) <= _TOLERANCE:
                raise DisagreementError(f"query {query}, document {document}: {found}, by definition {wanted}")


def _agrees(ranking: Ranking, truth: Ranking) -> None:
    """A document scores the same, whoever found it."""
    same = ranking.ids.unsqueeze(2) == truth.ids.unsqueeze(1)
    apart = (ranking.scores.unsqueeze(2) - truth.scores.unsqueeze(1)).abs()
    worst = float(apart.masked_fill(~same, 0.0).max())
    if not worst <= _TOLERANCE:
        raise DisagreementError(f"candidates' scores differ from exact ones by {worst:.2g}")


if __name__ == "__main__":
    answer(work)
