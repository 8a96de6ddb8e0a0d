"""Search the documentation of this Python: summary lines as queries, the rest of each docstring to be found.

python examples/bm25_search.py
"""

from rankgrad.data import pydoc_collection
from rankgrad.metrics import Recall, ReciprocalRank
from rankgrad.retrieve import BM25


def main() -> None:
    task = pydoc_collection().task("test")
    bm25 = BM25(task.documents.texts)
    ranking = bm25(task.queries.texts, k=100)

    question = "merge several sorted inputs into one"
    for row in bm25([question], k=3).ids[0].tolist():
        print(f"{task.documents.ids[row]:30} {' '.join(task.documents.texts[row].split())[:80]}")

    labels, judged = task.labels(ranking), task.judged()
    reciprocal_rank = ReciprocalRank(k=10)(ranking.scores, labels, ranking.mask, judged=judged)
    recall = Recall(k=100)(ranking.scores, labels, ranking.mask, judged=judged)
    print(f"{len(task.queries)} queries: MRR@10 {reciprocal_rank.mean():.3f}, recall@100 {recall.mean():.3f}")
    assert task.documents.ids[int(bm25([question], k=1).ids)] == "heapq.merge"
    assert reciprocal_rank.mean() > 0.3
    assert recall.mean() > 0.7


if __name__ == "__main__":
    main()
