"""Asking a system every query, one at a time, by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.types import Queries, Ranking

System = Callable[[Queries], Ranking]
_WARM_UP = 3


class Measured(NamedTuple):
    """A ranking of all queries on the CPU, and what each took in milliseconds."""

    ranking: Ranking
    milliseconds: list[float]


def measure(system: System, queries: Queries, *, name: str, step: Callable[[], object] = lambda: None) -> Measured:
    """Rank ``queries`` one at a time and take the time of each.

    The clock runs from the text to the finished ranking: every stage, tokenization and, on an accelerator, the wait for
    its results are inside. A few queries are asked beforehand, so that no query pays for what happens once.

    Args:
        system: what is measured.
        queries: texts.
        name: the system's name in messages.
        step: called after each query, off the clock.

    Raises:
        TypeError: when the system gives something other than a ranking of one query.
    """
    for query in queries[:_WARM_UP]:
        _check(system([query]), name)
    rankings, milliseconds = [], []
    for query in queries:
        start = time.perf_counter()
        ranking = system([query])
        if ranking.scores.is_cuda:
            torch.cuda.synchronize(ranking.scores.device)
        milliseconds.append((time.perf_counter() - start) * 1e3)
        rankings.append(Ranking(*(field.detach().cpu() for field in ranking)))
        step()
    width = max(ranking.ids.shape[1] for ranking in rankings)
    columns = zip(zip(*rankings, strict=True), (-1, -torch.inf, False), strict=True)
    return Measured(Ranking(*(_stack(rows, width, fill) for rows, fill in columns)), milliseconds)


def _stack(rows: tuple[Tensor, ...], width: int, fill: float) -> Tensor:
    return torch.cat([torch.nn.functional.pad(row, (0, width - row.shape[1]), value=fill) for row in rows])


def _check(ranking: object, name: str) -> None:
    if not isinstance(ranking, Ranking):
        raise TypeError(f"system {name!r} gave {type(ranking).__name__}: return a rankgrad.types.Ranking")
    if ranking.ids.ndim != 2 or len(ranking.ids) != 1:
        raise TypeError(f"system {name!r} gave ids {list(ranking.ids.shape)} for one query: return [1, k]")
