"""fast-plaid on the same embeddings, in a process of its own."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.muvera_data import Encoded, load
from benchmarks.muvera_worker import DEPTH, QUALITY, TOKENS, TRUTH, rates, recalls
from benchmarks.record import row
from benchmarks.workers import answer
from rankgrad.types import Ranking

_BITS = 4


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case; none where it is not installed."""
    if find_spec("fast_plaid") is None:
        print("skipped: fast-plaid (not installed)", flush=True)
        return []
    from fast_plaid import search  # pyright: ignore[reportMissingImports]

    encoded = load(job)
    setting = f"{encoded.setting}, {job['threads']} threads"
    ids = load_file(Path(job["folder"]) / TRUTH)["ids"]
    truth = Ranking(ids, torch.zeros(ids.shape), torch.ones_like(ids, dtype=torch.bool))
    name = f"fast-plaid {version('fast-plaid')}, {_BITS} bits"
    with tempfile.TemporaryDirectory() as folder:
        index = search.FastPlaid(index=f"{folder}/index", device="cpu")
        lengths = encoded.documents.cu_seqlens.diff().tolist()
        index.create(documents_embeddings=list(encoded.documents.embeddings.float().split(lengths)), nbits=_BITS)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        depth = min(DEPTH, len(lengths))
        ranking = _ranking([_search(index, encoded, place, depth) for place in range(len(encoded.queries))], depth)
        rows = [
            *recalls(name, setting, truth, ranking.ids),
            row("", name, setting, QUALITY, "nDCG", encoded.ndcg(ranking)),
        ]
        rows.append(row("", name, setting, TOKENS, "bytes", size / len(lengths)))
        rows += rates({name: lambda place: _search(index, encoded, place, 10)}, setting, quick=job["quick"])
    return [each[1:] for each in rows]


def _search(index: Any, encoded: Encoded, place: int, k: int) -> list[tuple[int, float]]:
    """One query without its padding."""
    query = encoded.queries[place][encoded.mask[place]]
    return index.search(queries_embeddings=query.unsqueeze(0), top_k=k, show_progress=False)[0]


def _ranking(found: list[list[tuple[int, float]]], depth: int) -> Ranking:
    """Padded to the depth."""
    ids = torch.full((len(found), depth), -1)
    scores = torch.full((len(found), depth), -torch.inf)
    for line, results in enumerate(found):
        for column, (document, score) in enumerate(results):
            ids[line, column], scores[line, column] = document, score
    mask: Tensor = ids >= 0
    return Ranking(ids, scores, mask)


if __name__ == "__main__":
    answer(work)
