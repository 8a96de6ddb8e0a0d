"""A run in TREC's format as a first stage."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.data import Task, read_run
from rankgrad.types import Queries, Ranking


class RunStage(nn.Module):
    """What a run holds for the queries of a task, found by their texts.

    As in trec_eval scores give the order, and of equal ones the greatest document id comes first. A query that the run
    lacks finds nothing.

    Args:
        path: lines ``query Q0 document rank score tag``.
        task: whose queries and documents the run names.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for a line that cannot be used, a document that the task does not have, a run of other queries, or
            two queries of one text with different lists.
    """

    def __init__(self, path: Path, task: Task) -> None:
        super().__init__()
        run = read_run(path)
        rows = {name: row for row, name in enumerate(task.documents.ids)}
        if run.keys().isdisjoint(task.queries.ids):
            raise InputError(f"{path} answers no query of {task.name}: compare its first column with the queries' ids")
        self.documents = len(rows)
        self.found: dict[str, tuple[Tensor, Tensor]] = {}
        asked: dict[str, str] = {}
        for name, text in zip(task.queries.ids, task.queries.texts, strict=True):
            scores = run.get(name, {})
            unknown = [document for document in scores if document not in rows]
            if unknown:
                raise InputError(
                    f"{path}: query {name!r} has the document {unknown[0]!r}, which {task.name} lacks: name a run over "
                    "its documents"
                )
            if text in asked and run.get(asked[text], {}) != scores:
                raise InputError(
                    f"{path}: queries {asked[text]!r} and {name!r} have one text and different lists: leave one out"
                )
            asked[text] = name
            order = sorted(sorted(scores, reverse=True), key=lambda document: -scores[document])
            self.found[text] = (
                torch.tensor([rows[document] for document in order], dtype=torch.int64),
                torch.tensor([scores[document] for document in order], dtype=torch.float32),
            )

    def forward(self, queries: Queries, k: int) -> Ranking:
        """The first ``k`` documents of each query.

        Raises:
            InputError: for a query that the task does not have.
        """
        ids, scores = torch.full((len(queries), k), -1), torch.full((len(queries), k), -torch.inf)
        for row, query in enumerate(queries):
            if query not in self.found:
                raise InputError(f"the query {query!r} is none of those that the run was opened for")
            rows, values = (part[:k] for part in self.found[query])
            ids[row, : len(rows)], scores[row, : len(rows)] = rows, values
        return Ranking(ids, scores, ids >= 0)
