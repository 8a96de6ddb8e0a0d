"""Mine hard negatives in the documentation of this Python, where half of the answers have an unjudged copy.

Such copies are what every real collection is full of: documents that answer the query and that nobody judged. Taken as
negatives they teach the opposite of what is true. The margin to the positive's score leaves them out.

python examples/mine_negatives.py
"""

import random
import tempfile
from dataclasses import replace
from pathlib import Path

from rankgrad.data import Collection, Texts, pydoc_collection, stream_lists
from rankgrad.training import HardNegatives, NegativeFilter, RetrievedCandidates, mine_to_folder

QUERIES = 100
NEGATIVES = 5


def with_unjudged_copies(collection: Collection) -> tuple[Collection, set[str]]:
    """The collection with copies of some documents, a fifth of the words left out; and the ids of the copies."""
    draw = random.Random(0)
    copies = {}
    for name, text in zip(collection.documents.ids, collection.documents.texts, strict=True):
        words = text.split()
        if draw.random() < 0.5 and len(words) >= 10:
            left_out = set(draw.sample(range(len(words)), len(words) // 5))
            copies[f"{name} (copy)"] = " ".join(word for place, word in enumerate(words) if place not in left_out)
    texts = Texts((*collection.documents.ids, *copies), (*collection.documents.texts, *copies.values()))
    return replace(collection, documents=texts), set(copies)


def main() -> None:
    collection, copies = with_unjudged_copies(pydoc_collection())
    task = collection.task("train").sample(QUERIES)
    candidates = RetrievedCandidates(task.documents, depth=100)

    taken = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, rules in {
            "no filter": NegativeFilter(near_duplicate=1.0),
            "near duplicates left out": NegativeFilter(),
            "and scores above 0.8 of the positive's": NegativeFilter(relative_margin=0.8),
        }.items():
            miner = HardNegatives(candidates, rules=rules, negatives=NEGATIVES)
            own = [(one, {f"{positive} (copy)" for positive in one.positives} & copies) for one in miner(task)]
            taken[name] = sum(bool(copy & set(one.negatives)) for one, copy in own)
            with_copy = sum(bool(copy) for _, copy in own)
            print(f"{name}: {taken[name]} of {with_copy} unjudged copies became negatives of their query")

        summary = mine_to_folder(miner, task, Path(folder) / "mined", settings={"relative_margin": 0.8}, shard_size=64)
        lists = list(stream_lists(Path(folder) / "mined" / "lists.jsonl", buffer=32))
        print(f"{summary.enough} of {summary.queries} queries have {NEGATIVES} negatives; dropped: {summary.dropped}")

    plain, near, margin = taken.values()
    assert plain >= 0.25 * with_copy
    assert margin < near <= plain
    assert margin <= 0.35 * plain
    assert len(lists) == summary.queries - summary.without


if __name__ == "__main__":
    main()
