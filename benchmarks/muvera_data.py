"""A collection encoded by MiniLM as a ColBERT without a projection, kept on disk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.machine import slug
from rankgrad._files import atomic_file
from rankgrad.data import Task, pydoc_collection, read_beir
from rankgrad.metrics import ndcg
from rankgrad.models import ColBERT
from rankgrad.tokens import LateInteractionRules
from rankgrad.types import PackedTokens, Ranking

_MODULES = ("json", "argparse")


@dataclass(frozen=True)
class Encoded:
    """Token embeddings in float16 of a task's documents and queries.

    Shape:
        queries ``[queries, tokens, dim]``, mask bool ``[queries, tokens]``
    """

    name: str
    task: Task
    documents: PackedTokens
    queries: Tensor
    mask: Tensor

    @property
    def setting(self) -> str:
        """What was searched."""
        tokens = len(self.documents.embeddings)
        count = len(self.documents.cu_seqlens) - 1
        return f"{self.name}, {count:,} documents, {tokens:,} tokens of {self.queries.shape[-1]} values"

    def ndcg(self, ranking: Ranking) -> float:
        """Mean nDCG@10."""
        labels = self.task.labels(ranking)
        return float(ndcg(ranking.scores, labels, ranking.mask, k=10, judged=self.task.judged()).double().mean())


def load(job: dict[str, Any]) -> Encoded:
    """The collection of a job, encoded now where it has not been."""
    name, task = _task(job)
    described = f"{name} {job['model']} {len(task.documents)} {len(task.queries)}"
    path = Path(job["folder"]) / f"{slug(described)}.safetensors"
    if not path.is_file():
        _encode(job["model"], task, path)
    kept = load_file(path)
    documents = PackedTokens(kept["documents"], kept["offsets"])
    return Encoded(name, task, documents, kept["queries"].float(), kept["mask"])


def _task(job: dict[str, Any]) -> tuple[str, Task]:
    if job["scifact"]:
        return "SciFact", read_beir(job["scifact"]).task("test")
    if not job["quick"]:
        return "pydoc", pydoc_collection().task("test")
    collection = pydoc_collection(standard_library=False, packages=_MODULES)
    split = next(name for name, judged in collection.qrels.items() if judged)
    return "pydoc", collection.task(split).sample(6)


def _encode(model: str, task: Task, path: Path) -> None:
    """No projection, no query expansion: MiniLM's own states, of length 1."""
    rules = LateInteractionRules(query_expansion=False)
    colbert = ColBERT.from_pretrained(model, dim=None, rules=rules)
    began = time.perf_counter()
    with torch.inference_mode():
        documents = colbert.encode_documents(task.documents.texts, progress=False)
        queries, mask = colbert.encode_queries(task.queries.texts)
    print(f"encoded {len(task.documents):,} documents in {time.perf_counter() - began:.0f} s", flush=True)
    tensors = {"documents": documents.embeddings.half(), "offsets": documents.cu_seqlens}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        save_file({**tensors, "queries": queries.half().contiguous(), "mask": mask.contiguous()}, temporary)
