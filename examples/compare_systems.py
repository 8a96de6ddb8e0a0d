"""Is a second stage worth it? BM25 against BM25 followed by an untrained ColBERT, with interval and p-value.

Needs rankgrad[demo] for the MiniLM weights and rankgrad[evaluate].

    python examples/compare_systems.py
"""

from rich.console import Console

from rankgrad.data import pydoc_collection
from rankgrad.evaluation import Experiment
from rankgrad.metrics import NDCG, Recall
from rankgrad.models import ColBERT
from rankgrad.pipeline import Pipeline
from rankgrad.rerank import LateInteractionReranker
from rankgrad.retrieve import BM25


def main() -> None:
    task = pydoc_collection(standard_library=False, packages=["asyncio", "email"]).task("train").sample(30)
    documents = task.documents.texts
    bm25 = BM25(documents)
    colbert = LateInteractionReranker(ColBERT.from_pretrained("minilm", dim=None), documents, k=20)
    systems = {"BM25": Pipeline(bm25, k=20), "BM25 > ColBERT": Pipeline(bm25, rerank=[colbert], k=20)}
    report = Experiment(systems, task, metrics=(NDCG(k=10), Recall(k=20)), baseline="BM25").run(progress=False)
    Console(width=120).print(report.table())

    first, second = report.systems
    assert second.mean("recall@20") == first.mean("recall@20"), "a reranker finds nothing new"
    comparison = report.comparison("BM25 > ColBERT", "nDCG@10")
    assert comparison is not None
    assert abs(comparison.difference - (second.mean("nDCG@10") - first.mean("nDCG@10"))) < 1e-9


if __name__ == "__main__":
    main()
