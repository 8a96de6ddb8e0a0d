"""Candidate lists from files larger than memory: read from the start in each epoch, shuffled through a buffer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from rankgrad._checks import InputError
from rankgrad.data._lines import Line, read_lines, read_object
from rankgrad.data._place import check_identity
from rankgrad.data.jsonl import list_of, triple_of
from rankgrad.data.records import CandidateList

Layout: TypeAlias = Literal["lists", "triples"]
Rows: TypeAlias = Callable[[np.random.Generator | None], Iterable[Any]]
"""Gives all rows from the start; the generator permutes what can be permuted cheaply, None keeps the order."""


class StreamedLists(IterableDataset[CandidateList]):
    """Candidate lists read one after the other, of which ``buffer`` rows are in memory at a time.

    The buffer is filled; then each row read takes the place of one drawn from it, which is handed out. The order is a
    function of (seed, epoch) and nothing else, the same in each process: shard s of n takes places s, s + n, s + 2n...
    of it, n being processes times workers. Rows are parsed when they are handed out, so skipping is cheap.

    Iterating goes through one epoch, or the rest of one loaded by ``load_state_dict``; the next iteration is the next
    epoch. Under a ``DataLoader`` with workers the place is the workers'; :class:`StreamLoader` keeps it.

    Args:
        rows: what gives the rows from the start.
        make: the list in a row.
        buffer: rows held for shuffling; 1 keeps the order of the rows.
        seed: of the order.
        rank: of this process in distributed training.
        world_size: processes in distributed training.
        size: number of rows; None counts them, once, by a pass over all.

    Raises:
        InputError: for a buffer below 1.

    Example:
        >>> def rows(generator):
        ...     return "abcdef"
        >>> lists = StreamedLists(rows, lambda row: CandidateList(row, ("document",), (1.0,)), buffer=3)
        >>> [one.query for one in lists], [one.query for one in lists], len(lists)
        (['c', 'b', 'e', 'f', 'd', 'a'], ['b', 'c', 'e', 'd', 'f', 'a'], 6)
    """

    def __init__(
        self,
        rows: Rows,
        make: Callable[[Any], CandidateList],
        *,
        buffer: int = 10_000,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        size: int | None = None,
    ) -> None:
        if buffer < 1:
            raise InputError(f"buffer={buffer}: hold at least one row (1 keeps the order)")
        if not 0 <= rank < world_size:
            raise InputError(f"rank={rank}, world_size={world_size}: the rank counts from 0 up to the world size")
        self.source, self.make, self.buffer, self.seed = rows, make, buffer, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = self.yielded = 0
        self._size = size

    def __len__(self) -> int:
        """All rows, those of other processes too."""
        if self._size is None:
            self._size = sum(1 for _ in self.source(None))
        return self._size

    def rows(self, epoch: int, seed: int | None = None) -> Iterator[Any]:
        """The unparsed rows of all shards in the order of an epoch; ``seed`` in place of the set's own."""
        if self.buffer == 1:
            return iter(self.source(None))
        generator = np.random.default_rng([self.seed if seed is None else seed, epoch])
        return _shuffled(self.source(generator), self.buffer, generator)

    def __iter__(self) -> Iterator[CandidateList]:
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        shard, shards = self.rank * workers + number, self.world_size * workers
        for row in islice(self.rows(self.epoch), shard + self.yielded * shards, None, shards):
            self.yielded += 1
            yield self.make(row)
        self.epoch, self.yielded = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """The place in the data, and what it is a place in."""
        return {"epoch": self.epoch, "yielded": self.yielded, **self._identity()}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go to a stored place; the next iteration begins there.

        Raises:
            InputError: when the place belongs to another seed, buffer or number of processes.
        """
        check_identity(state_dict, self._identity())
        self.epoch, self.yielded = state_dict["epoch"], state_dict["yielded"]

    def _identity(self) -> dict[str, int]:
        return {"buffer": self.buffer, "seed": self.seed, "world_size": self.world_size}


def stream_lists(
    files: str | Path | Sequence[str | Path],
    *,
    layout: Layout = "lists",
    buffer: int = 10_000,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> StreamedLists:
    """Stream JSONL files (plain or ``.gz``) of candidate lists or triples; several files are permuted in each epoch.

    Args:
        files: one or several.
        layout: "lists" (see :func:`rankgrad.data.read_lists`) or "triples" (see :func:`rankgrad.data.read_triples`).
        buffer, seed, rank, world_size: see :class:`StreamedLists`.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for another layout, no file; while iterating, for a line that cannot be used, with ``file:line``.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "lists.jsonl"
        >>> _ = file.write_text('{"query": "capital of France", "documents": ["Rome", "Paris"], "labels": [0, 1]}')
        >>> [one.documents for one in stream_lists(file)]
        [('Rome', 'Paris')]
    """
    if layout not in ("lists", "triples"):
        raise InputError(f"layout={layout!r}: choose lists or triples")
    paths = [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]
    if not paths:
        raise InputError("files: none given, stream at least one")
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise FileNotFoundError(f"{missing}: no such file")
    make = partial(_parsed, list_of if layout == "lists" else triple_of)
    return StreamedLists(partial(_lines, paths), make, buffer=buffer, seed=seed, rank=rank, world_size=world_size)


def _lines(paths: list[Path], generator: np.random.Generator | None) -> Iterator[Line]:
    order = range(len(paths)) if generator is None else generator.permutation(len(paths))
    return (line for place in order for line in read_lines(paths[place]))


def _parsed(make: Callable[[dict[str, Any], str], CandidateList], line: Line) -> CandidateList:
    return make(*read_object(line))


def _shuffled(rows: Iterable[Any], buffer: int, generator: np.random.Generator) -> Iterator[Any]:
    held: list[Any] = []
    for row in rows:
        if len(held) < buffer:
            held.append(row)
            continue
        place = int(generator.integers(buffer))
        drawn, held[place] = held[place], row
        yield drawn
    for place in generator.permutation(len(held)):
        yield held[place]
