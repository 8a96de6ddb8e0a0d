"""Batches of streamed lists, for training that goes on where a checkpoint stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from rankgrad._checks import InputError
from rankgrad.data._place import check_identity
from rankgrad.data._worker_errors import with_own_messages
from rankgrad.data.collate import ListBatch
from rankgrad.data.epoch_loader import _silence_tokenizers
from rankgrad.data.records import CandidateList
from rankgrad.data.streaming import StreamedLists


class StreamLoader:
    """Iterates over the batches of an epoch of streamed lists, as :class:`EpochLoader` does over lists in memory.

    The batches are a function of (seed, epoch), whatever the number of workers. Each process takes every
    ``world_size``-th batch, all of them equally many, and what is left over stays out; of a process's batches each
    worker makes every ``workers``-th. Every worker reads the files from the start and parses its own rows alone.

    Args:
        lists: what is streamed; its own rank and seed are not looked at.
        collate: makes a batch of lists.
        batch_size: lists a batch.
        workers: processes that read and tokenize; 0 = this process.
        seed: of the order.
        rank: of this process in distributed training.
        world_size: processes in distributed training.

    Raises:
        InputError: for a batch size below 1, or fewer batches than processes.

    Example:
        >>> rows = StreamedLists(lambda generator: "abc", lambda row: CandidateList(row, ("d",), (1.0,)), buffer=1)
        >>> loader = StreamLoader(rows, lambda batch: [one.query for one in batch], batch_size=2)
        >>> list(loader), loader.state_dict()["epoch"], list(loader), loader.state_dict()["epoch"]
        ([['a', 'b'], ['c']], 0, [['a', 'b'], ['c']], 1)
    """

    def __init__(
        self,
        lists: StreamedLists,
        collate: Callable[[Sequence[CandidateList]], ListBatch],
        *,
        batch_size: int,
        workers: int = 0,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1 or workers < 0:
            raise InputError(f"batch_size={batch_size}, workers={workers}: need at least 1 and at least 0")
        self.sampler = _Batches(lists, batch_size=batch_size, seed=seed, rank=rank, world_size=world_size)
        # Lightning looks for it on whatever has a sampler; None sends it to the sampler itself.
        self.batch_sampler = None
        if len(self) == 0:
            raise InputError(
                f"{len(lists)} lists in batches of {batch_size} give no batch to each of {world_size} processes: "
                "add data, lower batch_size, or take fewer processes"
            )
        # A generator of its own, because each iteration draws a worker seed, from the global state otherwise. Workers
        # end with the epoch: the place where they start is copied into them.
        self._loader = DataLoader(
            self.sampler,
            batch_size=None,
            collate_fn=collate,
            num_workers=workers,
            worker_init_fn=_silence_tokenizers,
            generator=torch.Generator(),
        )
        self._running: Any = None

    def __len__(self) -> int:
        return self.sampler.count

    def __iter__(self) -> Iterator[ListBatch]:
        batches = self.sampler
        if batches.yielded > batches.start or batches.start >= len(self):
            batches.set_epoch(batches.epoch + 1)
        batches.yielded = batches.start
        self._running = iter(self._loader)
        for batch in with_own_messages(self._running):
            batches.yielded += 1
            yield batch
        batches.start, self._running = 0, None

    def close(self) -> None:
        """Stop the workers, which the garbage collector would wait for; iterating starts new ones."""
        running, self._running = self._running, None
        if running is not None and self._loader.num_workers:
            running._shutdown_workers()

    def state_dict(self) -> dict[str, Any]:
        """The place in the data, and what it is a place in."""
        return {"epoch": self.sampler.epoch, "yielded": self.sampler.yielded, **self.sampler.identity()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to a stored place; the next iteration begins there.

        Raises:
            InputError: when the place belongs to other data, another batch size, buffer or seed, or other processes.
        """
        check_identity(state_dict, self.sampler.identity())
        self.sampler.epoch = state_dict["epoch"]
        self.sampler.start = self.sampler.yielded = state_dict["yielded"]


class _Batches(IterableDataset[list[CandidateList]]):
    """This process's batches of lists from place ``start`` of ``epoch`` on."""

    def __init__(self, lists: StreamedLists, *, batch_size: int, seed: int, rank: int, world_size: int) -> None:
        self.lists, self.batch_size, self.seed = lists, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.count = -(-len(lists) // batch_size) // world_size
        self.epoch = self.start = self.yielded = 0

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch, unless that one is already under way. Lightning calls this."""
        if epoch != self.epoch:
            self.epoch, self.start, self.yielded = epoch, 0, 0

    def __iter__(self) -> Iterator[list[CandidateList]]:
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        rows, read = self.lists.rows(self.epoch, self.seed), 0
        for place in range(self.start + number, self.count, workers):
            first = (place * self.world_size + self.rank) * self.batch_size
            batch = list(islice(rows, first - read, first - read + self.batch_size))
            read = first + len(batch)
            yield [self.lists.make(row) for row in batch]

    def identity(self) -> dict[str, int]:
        return {
            "lists": len(self.lists),
            "buffer": self.lists.buffer,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "world_size": self.world_size,
        }
