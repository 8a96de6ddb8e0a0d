"""Teacher scores: what a trained ranker thinks of the candidate lists another one learns from."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad._files import atomic_file
from rankgrad._modes import frozen
from rankgrad.data import CandidateList, Run, Task
from rankgrad.data.collate import ListCollate
from rankgrad.data.datamodule import ReportedCollate
from rankgrad.models import DenseEncoder, SparseEncoder
from rankgrad.rerank import LateInteractionReranker
from rankgrad.rerank.late_interaction import LateInteractionEncoder
from rankgrad.types import Ranking

_VECTORS = (DenseEncoder, SparseEncoder, deploy.DenseEncoder, deploy.SparseEncoder)
_Score: TypeAlias = Callable[[Sequence[CandidateList], Any], list[Tensor]]


@runtime_checkable
class Scorer(Protocol):
    """What scores pairs of texts: a ``CrossEncoder``, or one of ``rankgrad.deploy``."""

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> Any: ...


Teacher: TypeAlias = nn.Module | Scorer | LateInteractionEncoder
"""A torch model with a ``tokenizer``, what scores pairs, or what encodes queries and documents apart."""


def teacher_scores(
    lists: Sequence[CandidateList], teacher: Teacher, *, batch_size: int = 8, progress: bool = True
) -> list[CandidateList]:
    """Score every candidate with a teacher, for ``KLDistillLoss`` and ``MarginMSELoss``.

    Texts that the teacher's encoder cannot read to their end are cut, which is said once.

    Args:
        lists: candidate lists; teacher scores they have are replaced.
        teacher: a model of ``rankgrad.models`` or ``rankgrad.deploy``, another with a ``tokenizer`` that scores a batch
            of lists, or an object with ``score(queries, documents)``. One that encodes documents apart reads each
            distinct one once (of a batch, where it makes one vector a document).
        batch_size: lists a batch.
        progress: show a bar.

    Returns:
        The same lists, in order, with ``teacher_scores``.

    Raises:
        InputError: when a score is not finite.
        TypeError: for a teacher of another kind.

    Reference:
        Hofstätter, Althammer, Schröder, Sertkan and Hanbury, "Improving Efficient Neural Ranking Models with
        Cross-Architecture Knowledge Distillation", 2020.

    Example:
        >>> class Longer:
        ...     def score(self, queries, documents):
        ...         return torch.tensor([float(len(text)) for text in documents])
        >>> lists = [CandidateList("q", ("abc", "d"), (1.0, 0.0))]
        >>> teacher_scores(lists, Longer(), progress=False)[0].teacher_scores
        (3.0, 1.0)
    """
    if not isinstance(teacher, Scorer) and not (isinstance(teacher, nn.Module) and hasattr(teacher, "tokenizer")):
        raise TypeError(
            f"teacher: expected a model with a tokenizer or an object with score(), got {type(teacher).__name__}"
        )
    if isinstance(teacher, _VECTORS):
        score = _vector_scores
    elif hasattr(teacher, "encode_documents"):
        score = _late_interaction(lists, teacher, progress)
    else:
        score = _model_scores(teacher) if isinstance(teacher, nn.Module) else _pair_scores
    scored: list[CandidateList] = []
    starts = range(0, len(lists), batch_size)
    for start in tqdm(starts, desc="scoring with the teacher", disable=not progress or not sys.stderr.isatty()):
        batch = lists[start : start + batch_size]
        for one, scores in zip(batch, score(batch, teacher), strict=True):
            if not scores.isfinite().all():
                raise InputError(
                    f"the teacher's scores for query {one.query!r} are not all finite: leave out empty documents"
                )
            scored.append(replace(one, teacher_scores=tuple(scores.tolist())))
    return scored


def teacher_run(task: Task, candidates: Run, teacher: Teacher, *, batch_size: int = 8, progress: bool = True) -> Run:
    """Score the candidates of each query, and its relevant documents: all that ``ListDataModule`` may draw.

    Args:
        task: queries, judgements and documents.
        candidates: documents a query, as of :class:`BM25Negatives`.
        teacher, batch_size, progress: see :func:`teacher_scores`.

    Returns:
        Query id to document id to score; ``ListDataModule(teacher_scores=...)`` takes it.
    """
    names, lists = [], []
    for query, text in zip(task.queries.ids, task.queries.texts, strict=True):
        relevant = [name for name, grade in task.qrels[query].items() if grade > 0]
        names.append(list(dict.fromkeys([*relevant, *candidates.get(query, ())])))
        documents = tuple(task.documents.text(name) for name in names[-1])
        lists.append(CandidateList(text, documents, (0.0,) * len(documents)))
    scored = teacher_scores(lists, teacher, batch_size=batch_size, progress=progress)
    rows = zip(task.queries.ids, names, scored, strict=True)
    return {query: dict(zip(found, one.teacher_scores or (), strict=True)) for query, found, one in rows}


def write_teacher_scores(run: Run, path: str | Path) -> None:
    """Write scores as the JSONL that :func:`rankgrad.data.read_teacher_scores` reads; whole or not at all."""
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for query, scores in run.items():
            for document, score in scores.items():
                file.write(json.dumps({"query": query, "document": document, "score": score}) + "\n")


def _late_interaction(lists: Sequence[CandidateList], teacher: Any, progress: bool) -> _Score:
    """Encode the documents of all lists once; gives what scores a batch of the lists."""
    texts = {text: row for row, text in enumerate(dict.fromkeys(text for one in lists for text in one.documents))}
    stage = LateInteractionReranker(teacher, tuple(texts), k=max(len(one.documents) for one in lists))
    stage.index(progress=progress and sys.stderr.isatty())

    @torch.no_grad()
    def score(batch: Sequence[CandidateList], teacher: Any) -> list[Tensor]:
        rows = [torch.tensor([texts[text] for text in one.documents]) for one in batch]
        ids = pad_sequence(rows, batch_first=True, padding_value=-1)
        found = stage([one.query for one in batch], Ranking(ids, torch.zeros(ids.shape), ids >= 0))
        # Masked places have id -1: they land in a last column of their own.
        by_row = torch.zeros(len(batch), len(texts) + 1).scatter(1, found.ids % (len(texts) + 1), found.scores)
        return [scores[each] for scores, each in zip(by_row, rows, strict=True)]

    return score


def _pair_scores(lists: Sequence[CandidateList], teacher: Any) -> list[Tensor]:
    queries = [one.query for one in lists for _ in one.documents]
    documents = [text for one in lists for text in one.documents]
    sizes = [len(one.documents) for one in lists]
    return list(torch.as_tensor(teacher.score(queries, documents)).float().split(sizes))


def _vector_scores(lists: Sequence[CandidateList], teacher: Any) -> list[Tensor]:
    texts = {text: row for row, text in enumerate(dict.fromkeys(text for one in lists for text in one.documents))}
    with frozen(teacher):
        found = teacher.score([one.query for one in lists], teacher.encode_documents(list(texts)))
    table = torch.as_tensor(found).float().cpu()
    return [row[[texts[text] for text in one.documents]] for row, one in zip(table, lists, strict=True)]


def _model_scores(model: nn.Module) -> _Score:
    """What scores a batch of lists with a model, dropout off."""
    collate: Any = ListCollate(model.tokenizer)  # type: ignore[arg-type]
    if hasattr(model, "texts"):
        collate = ReportedCollate(collate, model.texts)

    @torch.no_grad()
    def score(lists: Sequence[CandidateList], teacher: nn.Module) -> list[Tensor]:
        training = teacher.training
        teacher.eval()
        try:
            device = next(teacher.parameters()).device
            features = collate([replace(one, teacher_scores=None) for one in lists]).features
            rows = teacher(move_data_to_device(features, device)).float().cpu()
        finally:
            teacher.train(training)
        return [row[: len(one.documents)] for row, one in zip(rows, lists, strict=True)]

    return score
