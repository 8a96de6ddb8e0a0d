"""BM25's candidates of a collection, and the frozen encoder's states of them: what the cascades learn upon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from benchmarks.quality_data import Sizes as QualitySizes
from benchmarks.quality_data import load
from rankgrad.data import Task
from rankgrad.fuse import Judgements
from rankgrad.models import ColBERT
from rankgrad.models._late_documents import packed_documents
from rankgrad.retrieve import BM25
from rankgrad.tokens import LateInteractionRules, Tokens
from rankgrad.types import PackedTokens, Ranking


class Sizes(NamedTuple):
    """How much is trained and measured."""

    training: int = 400
    validation: int = 150
    tests: int = 200
    depth: int = 60
    document_length: int = 48


QUICK = Sizes(training=12, validation=4, tests=6, depth=8, document_length=16)


@dataclass(frozen=True)
class Split:
    """Queries, their candidates, and the judgements.

    Shape:
        rows: int64 ``[queries]``, of the cached queries; ranking: of the cached documents, scores of BM25;
        labels ``[queries, depth]``; judged ``[queries, any]``.
    """

    rows: Tensor
    ranking: Ranking
    labels: Tensor
    judged: Tensor
    judgements: Judgements

    def part(self, chosen: Tensor) -> Split:
        """Some of the queries."""
        ranking = Ranking(*(field[chosen] for field in self.ranking))
        judgements = Judgements(*(field[chosen] for field in self.judgements))
        return Split(self.rows[chosen], ranking, self.labels[chosen], self.judged[chosen], judgements)


@dataclass(frozen=True)
class Cached:
    """Three splits over one set of documents, and unit token states of every query and document."""

    queries: PackedTokens
    documents: PackedTokens
    training: Split
    validation: Split
    test: Split


def cached(name: str, *, scifact: str | Path, model: str, sizes: Sizes, quick: bool) -> Cached:
    """Load a collection, search it by BM25, and encode what was found."""
    material = load(name, scifact=scifact, sizes=QualitySizes(sizes.tests, sizes.validation), quick=quick)
    tasks = [material.train.task("train").sample(sizes.training), material.validation, material.test]
    documents: dict[str, int] = {}
    texts: list[str] = []
    splits: list[Split] = []
    first = 0
    for task in tasks:
        found = BM25(task.documents.texts)(task.queries.texts, min(sizes.depth, len(task.documents)))
        ids = torch.full_like(found.ids, -1)
        for place in found.mask.nonzero().tolist():
            row = int(found.ids[place[0], place[1]])
            key = task.documents.ids[row]
            if key not in documents:
                documents[key] = len(texts)
                texts.append(task.documents.texts[row])
            ids[place[0], place[1]] = documents[key]
        rows = torch.arange(first, first + len(ids))
        ranking = found._replace(ids=ids)
        splits.append(Split(rows, ranking, task.labels(found), task.judged(), _judgements(task, documents)))
        first += len(ids)
    questions = [text for task in tasks for text in task.queries.texts]
    rules = LateInteractionRules(
        query_length=32, document_length=sizes.document_length, query_expansion=False, skip_words=()
    )
    encoder = ColBERT.from_pretrained(model, rules=rules)
    print(f"cascade, {name}: encoding {len(questions)} queries and {len(texts)} documents", flush=True)
    asked, found = (
        _states(encoder, encoder.tokenizer.queries(questions)),
        _states(encoder, encoder.tokenizer.documents(texts)),
    )
    training, validation, test = splits
    return Cached(asked, found, training, validation, test)


def pooled(packed: PackedTokens) -> PackedTokens:
    """The mean of each text's token states, of unit length: one token a text."""
    lengths = packed.cu_seqlens.diff().long()
    owners = torch.arange(len(lengths)).repeat_interleave(lengths)
    sums = torch.zeros(len(lengths), packed.embeddings.shape[1]).index_add(0, owners, packed.embeddings.float())
    return PackedTokens(normalize(sums, dim=-1), torch.arange(len(lengths) + 1, dtype=torch.int32))


@torch.no_grad()
def _states(encoder: ColBERT, tokens: Tokens) -> PackedTokens:
    """Unit states of the last layer, half precision."""
    width = encoder.encoder.hidden_size
    found = packed_documents(
        tokens,
        lambda batch: (
            normalize(encoder.encoder(batch.input_ids, batch.attention_mask, batch.token_type_ids), dim=-1),
            batch.attention_mask.bool(),
        ),
        batch_size=32,
        dim=width,
        model=encoder,
        progress=False,
    )
    return PackedTokens(found.embeddings.half(), found.cu_seqlens)


def _judgements(task: Task, documents: dict[str, int]) -> Judgements:
    """All judgements by cached row; a document that was not found has a number below -1, which no list holds."""
    ids, grades = [], []
    for query in task.queries.ids:
        given = {key: max(grade, 0) for key, grade in task.qrels[query].items()}
        ids.append(torch.tensor([documents.get(key, -2 - place) for place, key in enumerate(given)]))
        grades.append(torch.tensor(list(given.values()), dtype=torch.float32))
    width = max(map(len, ids))
    mask = torch.arange(width) < torch.tensor([[len(row)] for row in ids])
    rows, labels = (torch.stack([pad(row, (0, width - len(row))) for row in each]) for each in (ids, grades))
    return Judgements(rows, labels, mask)
