"""A data loader whose order is a function of (seed, epoch), and that goes on where a checkpoint stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence, Sized
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader

from rankgrad._checks import InputError
from rankgrad.data._place import check_identity
from rankgrad.data._worker_errors import with_own_messages
from rankgrad.data.collate import ListBatch
from rankgrad.data.records import CandidateList


class EpochLists(Sized, Protocol):
    """Lists by ``(epoch, index)``."""

    def __getitem__(self, key: tuple[int, int]) -> CandidateList: ...


class EpochOrder:
    """The batches of keys of one epoch, from ``start`` on. The global random state has no part in it.

    Args:
        size: number of lists.
        batch_size: lists a batch; the last batch may be smaller.
        shuffle: permute by (seed, epoch); else in order.
        seed: of the permutation.
        rank: of this process.
        world_size: processes that share an epoch, all of them in equally many batches, since in each batch they wait
            for each other. Shuffled, each takes every ``world_size``-th batch, and what is left over stays out. In
            order, each takes every ``world_size``-th list, in batches of nearly equal size (one more than
            ``batch_size`` at most), and none stays out.

    Example:
        >>> order = EpochOrder(5, batch_size=2, shuffle=False)
        >>> list(order), len(order)
        ([[(0, 0), (0, 1)], [(0, 2), (0, 3)], [(0, 4)]], 3)
        >>> order.set_epoch(3)
        >>> order.start = 2
        >>> list(order)
        [[(3, 4)]]
    """

    def __init__(
        self, size: int, *, batch_size: int, shuffle: bool, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        self.size, self.batch_size, self.shuffle, self.seed = size, batch_size, shuffle, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = self.start = self.yielded = 0

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch, unless that one is already under way. Lightning calls this."""
        if epoch != self.epoch:
            self.epoch, self.start, self.yielded = epoch, 0, 0

    def __len__(self) -> int:
        if self.shuffle or self.world_size == 1:
            return -(-self.size // self.batch_size) // self.world_size
        most = -(-self.size // self.world_size)
        return min(-(-most // self.batch_size), self.size // self.world_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.epoch
        order = np.random.default_rng([self.seed, epoch]).permutation(self.size) if self.shuffle else range(self.size)
        for batch in range(self.start, len(self)):
            yield [(epoch, int(index)) for index in self._batch(order, batch)]

    def _batch(self, order: Any, batch: int) -> Any:
        if self.shuffle or self.world_size == 1:
            first = (batch * self.world_size + self.rank) * self.batch_size
            return order[first : first + self.batch_size]
        own, batches = order[self.rank :: self.world_size], len(self)
        return own[batch * len(own) // batches : (batch + 1) * len(own) // batches]


class EpochLoader:
    """Iterates over the batches of an epoch; each iteration is the next epoch, or the rest of the one loaded.

    It stores how many batches it handed out, not how many its workers prepared, so a run resumed from a checkpoint in
    the middle of an epoch sees exactly the batches that were missing.

    Args:
        lists: a pure function of its key, so that workers need no state.
        collate: makes a batch of lists.
        batch_size: lists a batch.
        shuffle: permute in each epoch.
        workers: processes that tokenize; they stay alive between epochs. 0 = this process.
        seed: of the order.
        rank: of this process in distributed training.
        world_size: processes in distributed training.

    Raises:
        InputError: for a batch size below 1, or fewer batches than processes.

    Example:
        >>> from rankgrad.data import ReadyLists
        >>> lists = ReadyLists([CandidateList(query, ("document",), (1.0,)) for query in "abc"])
        >>> loader = EpochLoader(lists, lambda batch: [one.query for one in batch], batch_size=2, shuffle=False)
        >>> list(loader), loader.state_dict()["epoch"], list(loader), loader.state_dict()["epoch"]
        ([['a', 'b'], ['c']], 0, [['a', 'b'], ['c']], 1)
    """

    def __init__(
        self,
        lists: EpochLists,
        collate: Callable[[Sequence[CandidateList]], ListBatch],
        *,
        batch_size: int,
        shuffle: bool,
        workers: int = 0,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1 or workers < 0:
            raise InputError(f"batch_size={batch_size}, workers={workers}: need at least 1 and at least 0")
        size = len(lists)
        self.sampler = EpochOrder(
            size, batch_size=batch_size, shuffle=shuffle, seed=seed, rank=rank, world_size=world_size
        )
        # Lightning looks for it on whatever has a sampler; None sends it to the sampler itself.
        self.batch_sampler = None
        if len(self.sampler) == 0 and (shuffle or world_size > 1):
            raise InputError(
                f"{size} lists in batches of {batch_size} give no batch to each of {world_size} processes: "
                "add data, lower batch_size, or take fewer processes"
            )
        # A generator of its own, because each iteration draws a worker seed, from the global state otherwise.
        self._loader = DataLoader(
            lists,  # pyright: ignore[reportArgumentType]  (the keys come from the sampler)
            batch_sampler=self.sampler,  # pyright: ignore[reportArgumentType]
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_silence_tokenizers,
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[ListBatch]:
        order = self.sampler
        if order.yielded > order.start or order.start >= len(order):
            order.set_epoch(order.epoch + 1)
        order.yielded = order.start
        for batch in with_own_messages(self._loader):
            order.yielded += 1
            yield batch
        order.start = 0

    def close(self) -> None:
        """Stop the workers, which the garbage collector would wait for; iterating starts new ones."""
        iterator, self._loader._iterator = self._loader._iterator, None
        if iterator is not None:
            iterator._shutdown_workers()  # pyright: ignore[reportAttributeAccessIssue]  (only workers leave one here)

    def state_dict(self) -> dict[str, Any]:
        """The place in the data, and what it is a place in."""
        order = self.sampler
        return {"epoch": order.epoch, "yielded": order.yielded, **self._identity()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to a stored place; the next iteration begins there.

        Raises:
            InputError: when the place belongs to other data, another batch size, another seed, or other processes.
        """
        check_identity(state_dict, self._identity())
        self.sampler.epoch = state_dict["epoch"]
        self.sampler.start = self.sampler.yielded = state_dict["yielded"]

    def _identity(self) -> dict[str, int]:
        order = self.sampler
        return {
            "lists": order.size,
            "batch_size": order.batch_size,
            "seed": order.seed,
            "world_size": order.world_size,
        }


def _silence_tokenizers(worker: int) -> None:
    """A forked tokenizer prints a warning unless its threads are switched off; the workers are the parallelism here."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
