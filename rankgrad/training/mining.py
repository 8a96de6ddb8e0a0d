"""Hard negatives: of the documents a retriever finds, those that are likely to be irrelevant and hard to tell."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, Run, Task
from rankgrad.data._near_duplicates import distinct_rows
from rankgrad.training.distill import Teacher, teacher_run, teacher_scores

Sampling: TypeAlias = Literal["top", "random"]
CandidateSource: TypeAlias = Callable[[Task], Run]


@dataclass(frozen=True)
class NegativeFilter:
    """Which of a query's candidates may be its negatives, by rank, by score and by text.

    With the score ``p`` of the query's positive (of several, the lowest among those that the retriever found) a
    candidate stays if its score is at most ``p - margin`` and at most ``p - (1 - relative_margin) |p|``, which is
    ``relative_margin p`` for a positive score. A positive that the retriever did not find lies below all it found, so
    with a margin no candidate of that query stays.

    Args:
        ranks: first and last rank, from 1; relevant documents take up ranks too.
        margin: how far below the positive a candidate must lie; None = anywhere.
        relative_margin: the share of the positive's score that a candidate may reach, in [0, 1]; None = any.
        lowest, highest: the range that a candidate's score must lie in; None = no bound.
        denoise_above: leave out what the denoising model scores above this, on its scale; None = no such model.
        near_duplicate: share of words in common (Jaccard) from which a text is the same as the positive's, or as that
            of a candidate before it; in (0, 1].

    Raises:
        InputError: for an option out of range.

    Reference:
        Moreira et al., "NV-Retriever: Improving text embedding models with effective hard-negative mining", 2024
        (margins; 0.95 was their best). Qu et al., "RocketQA: An Optimized Training Approach to Dense Passage Retrieval
        for Open-Domain Question Answering", NAACL 2021 (denoising).

    Example:
        >>> NegativeFilter(relative_margin=0.9).highest_score(10.0), NegativeFilter(margin=0.5).highest_score(-2.0)
        (9.0, -2.5)
    """

    ranks: tuple[int, int] = (1, 100)
    margin: float | None = None
    relative_margin: float | None = None
    lowest: float | None = None
    highest: float | None = None
    denoise_above: float | None = None
    near_duplicate: float = 0.9

    def __post_init__(self) -> None:
        if not 1 <= self.ranks[0] <= self.ranks[1]:
            raise InputError(f"ranks={tuple(self.ranks)}: give the first and the last rank, counted from 1")
        if self.margin is not None and not self.margin >= 0:
            raise InputError(f"margin={self.margin}: give at least 0")
        if self.relative_margin is not None and not 0 <= self.relative_margin <= 1:
            raise InputError(f"relative_margin={self.relative_margin}: give a share of the positive's score, 0 to 1")
        if self.lowest is not None and self.highest is not None and self.lowest > self.highest:
            raise InputError(f"lowest={self.lowest} is above highest={self.highest}: no score lies between")
        if not 0 < self.near_duplicate <= 1:
            raise InputError(f"near_duplicate={self.near_duplicate}: give a share of words above 0, 1 at most")

    def highest_score(self, positive: float | None) -> float:
        """The highest score a candidate may have beside a positive of this score; None = it was not found."""
        if positive is None:
            return float("inf") if self.margin is None and self.relative_margin is None else float("-inf")
        absolute = float("inf") if self.margin is None else positive - self.margin
        if self.relative_margin is None:
            return absolute
        return min(absolute, positive - (1 - self.relative_margin) * abs(positive))


@dataclass(frozen=True)
class MinedList:
    """A query with its relevant documents and the negatives found for it.

    Args:
        query: id.
        text: the query's.
        positives: ids of the relevant documents.
        negatives: ids of what was found, in order.
        candidates: the same documents as texts with grades and, where there is a teacher, its scores; None without a
            negative.
        dropped: how many candidates each filter left out.
    """

    query: str
    text: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    candidates: CandidateList | None = field(repr=False)
    dropped: dict[str, int] = field(default_factory=dict)


class HardNegatives:
    """Mines negatives for the queries of a task.

    The candidates in the range of ranks pass the filters one after the other: judged relevant, empty, margins, score
    range, near duplicate of a positive or of a candidate before it, and scored too high by the denoising model. Of
    those that remain, ``negatives`` are taken: the first, or some drawn by (seed, query id). Queries without a relevant
    document are passed over.

    Args:
        source: what finds candidates for the queries of a task, such as :class:`RetrievedCandidates`.
        rules: the filters.
        negatives: how many a query.
        sampling: "top" takes the best, "random" draws.
        seed: of the draw.
        denoiser: scores pairs for ``rules.denoise_above``; a model as in :func:`teacher_scores`.
        teacher: scores the final lists for distillation, or None.
        batch_size: lists that a model scores at once.

    Raises:
        InputError: for fewer than one negative, another sampling, or a denoiser without its threshold or the reverse.

    Example:
        >>> from rankgrad.data import Texts
        >>> documents = Texts(("d1", "d2", "d3", "d4"), ("sort a list", "sort a list!", "sort a bag", "open a file"))
        >>> task = Task("t", documents, Texts(("q",), ("sort list",)), {"q": {"d1": 1}})
        >>> run = {"q": {"d1": 9.0, "d2": 8.9, "d3": 5.0, "d4": 1.0}}
        >>> mined = HardNegatives(lambda task: run, negatives=1)(task)
        >>> mined[0].negatives, dict(mined[0].dropped)
        (('d3',), {'judged relevant': 1, 'near duplicate': 1})
    """

    def __init__(
        self,
        source: CandidateSource,
        *,
        rules: NegativeFilter | None = None,
        negatives: int = 7,
        sampling: Sampling = "top",
        seed: int = 0,
        denoiser: Teacher | None = None,
        teacher: Teacher | None = None,
        batch_size: int = 8,
    ) -> None:
        self.rules = rules or NegativeFilter()
        if negatives < 1:
            raise InputError(f"negatives={negatives}: mine at least one a query")
        if sampling not in ("top", "random"):
            raise InputError(f"sampling={sampling!r}: choose top or random")
        if (denoiser is None) != (self.rules.denoise_above is None):
            raise InputError("denoiser and rules.denoise_above belong together: give both or neither")
        self.source, self.negatives, self.sampling, self.seed = source, negatives, sampling, seed
        self.denoiser, self.teacher, self.batch_size = denoiser, teacher, batch_size

    def __call__(self, task: Task) -> list[MinedList]:
        """Mine for each query of ``task`` that has a relevant document that is not blank, in order.

        Raises:
            InputError: when the source names a document that is not in the task.
        """
        asked = [query for query in task.queries.ids if _relevant(task, query)]
        if not asked:
            return []
        task = Task(task.name, task.documents, task.queries.select(asked), {name: task.qrels[name] for name in asked})
        found = self.source(task)
        dropped: dict[str, Counter[str]] = {query: Counter() for query in asked}
        kept = {query: self._filter(task, query, found.get(query, {}), dropped[query]) for query in asked}
        kept = self._denoise(task, kept, dropped)
        lists = [_list(task, query, self._take(query, list(kept[query])), dropped[query]) for query in asked]
        return self._taught(lists)

    def _filter(self, task: Task, query: str, scores: dict[str, float], dropped: Counter[str]) -> dict[str, float]:
        """The candidates that all filters but the denoising model let pass, with their scores."""
        rules = self.rules
        unknown = next((name for name in scores if name not in task.documents), None)
        if unknown is not None:
            raise InputError(f"candidates of query {query!r}: document {unknown!r} is not in {task.name}")
        first, last = rules.ranks
        found = sorted(scores, key=lambda name: -scores[name])[first - 1 : last]
        positives = _relevant(task, query)
        there = [scores[name] for name in positives if name in scores]
        bound = rules.highest_score(min(there, default=None))
        kept = []
        for name in found:
            if task.qrels[query].get(name, 0) > 0:
                dropped["judged relevant"] += 1
            elif not task.documents.text(name).strip():
                dropped["empty"] += 1
            elif scores[name] > bound:
                dropped["margin"] += 1
            elif not _between(scores[name], rules.lowest, rules.highest):
                dropped["score range"] += 1
            else:
                kept.append(name)
        texts = [task.documents.text(name) for name in kept]
        places = set(range(len(kept)))
        for positive in positives:
            rows = distinct_rows([task.documents.text(positive), *texts], threshold=rules.near_duplicate)
            places &= {row - 1 for row in rows}
        dropped["near duplicate"] += len(kept) - len(places)
        return {kept[place]: scores[kept[place]] for place in sorted(places)}

    def _denoise(self, task: Task, kept: Run, dropped: dict[str, Counter[str]]) -> Run:
        """Without the candidates that the denoising model takes for relevant."""
        if self.denoiser is None or self.rules.denoise_above is None:
            return kept
        asked = [query for query in task.queries.ids if kept[query]]
        if not asked:
            return kept
        pairs = Task(task.name, task.documents, task.queries.select(asked), {query: {} for query in asked})
        judged = teacher_run(pairs, kept, self.denoiser, batch_size=self.batch_size, progress=False)
        passed: Run = {}
        for query, scores in kept.items():
            passed[query] = {
                name: score for name, score in scores.items() if judged[query][name] <= self.rules.denoise_above
            }
            dropped[query]["denoised"] += len(scores) - len(passed[query])
        return passed

    def _take(self, query: str, names: list[str]) -> list[str]:
        if self.sampling == "top" or len(names) <= self.negatives:
            return names[: self.negatives]
        draw = random.Random(hashlib.sha256(f"{self.seed} {query}".encode()).digest())
        chosen = sorted(draw.sample(range(len(names)), self.negatives))
        return [names[place] for place in chosen]

    def _taught(self, lists: list[MinedList]) -> list[MinedList]:
        whole = [one.candidates for one in lists if one.candidates is not None]
        if self.teacher is None or not whole:
            return lists
        scored = iter(teacher_scores(whole, self.teacher, batch_size=self.batch_size, progress=False))
        return [one if one.candidates is None else replace(one, candidates=next(scored)) for one in lists]


def _list(task: Task, query: str, negatives: Sequence[str], dropped: Counter[str]) -> MinedList:
    positives = _relevant(task, query)
    text, grades = task.queries.text(query), task.qrels[query]
    labels = (*(float(grades[name]) for name in positives), *(0.0 for _ in negatives))
    texts = tuple(task.documents.text(name) for name in (*positives, *negatives))
    candidates = CandidateList(text, texts, labels) if negatives else None
    return MinedList(query, text, tuple(positives), tuple(negatives), candidates, dict(+dropped))


def _relevant(task: Task, query: str) -> list[str]:
    """The relevant documents that hold a word: there is nothing to learn from a blank one."""
    return [name for name, grade in task.qrels[query].items() if grade > 0 and task.documents.text(name).strip()]


def _between(score: float, lowest: float | None, highest: float | None) -> bool:
    return (lowest is None or score >= lowest) and (highest is None or score <= highest)
