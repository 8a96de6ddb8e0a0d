"""Training and validation lists for Lightning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, cast

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.data.collate import ListBatch, ListCollate
from rankgrad.data.epoch_loader import EpochLists, EpochLoader
from rankgrad.data.image_reader import ImageReader
from rankgrad.data.jsonl import read_teacher_scores
from rankgrad.data.records import CandidateList, Collection, Run
from rankgrad.data.sources import CandidateMiner, CollectionSource, ListSource, StreamSource
from rankgrad.data.stream_loader import StreamLoader
from rankgrad.data.streaming import StreamedLists
from rankgrad.data.training_lists import DrawnLists, ReadyLists, ranked_lists
from rankgrad.data.trec import read_run
from rankgrad.prompts import PromptTokenizer
from rankgrad.tokens import LateInteractionTokenizer, PairTokenizer


@dataclass(frozen=True)
class ReportedCollate:
    """Makes the batches of a :class:`rankgrad.data.ListCollate`, and says once a side when texts were cut.

    What is said is the model's own report: the first batch with cut texts is tokenized by it once more. A loader's
    workers, which share ``said``, say it themselves on standard error.

    Args:
        collate: makes the batches.
        texts: of the model, as ``ColBERT.texts``; it tokenizes with the tokenizer of ``collate``.
        said: whether queries and documents were reported.
    """

    collate: ListCollate
    texts: Any
    said: Tensor = field(default_factory=lambda: torch.zeros(2, dtype=torch.bool).share_memory_())

    def __call__(self, lists: Sequence[CandidateList]) -> ListBatch:
        """Make one batch of the lists."""
        counts = self.texts.tokenizer.cut
        before = Counter(counts)
        batch = self.collate(lists)
        after = Counter(counts)
        for place, side in enumerate(("query", "document")):
            if after[side] > before[side] and not self.said[place]:
                self.said[place] = True
                self._report(side, lists)
        counts.clear()
        counts.update(after)
        return batch

    def _report(self, side: str, lists: Sequence[CandidateList]) -> None:
        if isinstance(self.texts.tokenizer, PairTokenizer | PromptTokenizer):
            pairs = dict.fromkeys((one.query, document) for one in lists for document in one.documents)
            self.texts(*map(list, zip(*pairs, strict=True)))
        elif side == "query":
            self.texts.queries(list(dict.fromkeys(one.query for one in lists)))
        else:
            self.texts.documents(list(dict.fromkeys(document for one in lists for document in one.documents)))


class ListDataModule(LightningDataModule):
    """Batches of candidate lists; what comes when depends on ``seed`` alone, also after a resume.

    From a collection each epoch draws, for each query, one relevant document and negatives from the candidates. Ready
    lists are taken as they are; streamed ones are never in memory all at once. Documents may be paths of pictures, for
    a :class:`rankgrad.models.ImageColBERT`: the loader opens them. Texts that the encoder cannot read to their end are
    cut, which each process of a distributed training says once, as ``model.score`` does.

    Args:
        source: a collection, or what makes one, or what makes ready lists.
        candidates: documents for negatives and for validation: a run, a TREC run file, or a miner called with the
            collection and the split. None draws negatives from the whole collection and cannot validate.
        teacher_scores: another ranker's scores: a run, or a JSONL file (see :func:`rankgrad.data.read_teacher_scores`).
        negatives: how many a training list.
        negative_ranks: first and last rank (from 1) of the candidates that may become negatives.
        train_split: split to train on.
        validation_split: split to validate on, or None.
        validation_depth: candidates a validation query, best first.
        validation_queries: validate on so many queries, drawn by ``seed``; None = all.
        batch_size: lists a training batch.
        validation_batch_size: lists a validation batch.
        in_batch_negatives: see :class:`rankgrad.data.ListCollate`; for training only.
        group_size: rows encoded together, see :class:`rankgrad.data.ListCollate`.
        token_budget: tokens encoded together instead, padding included.
        workers: processes that tokenize and open pictures; 0 = the training process.
        seed: of order, draws and the validation sample.
        tokenizer: of the model; None takes ``model.tokenizer`` of the LightningModule being trained.

    Raises:
        InputError: at ``setup``, for data that cannot be used.

    Example:
        >>> from rankgrad.data import Pydoc
        >>> data = ListDataModule(Pydoc(standard_library=False, packages=["json"]), validation_split=None, negatives=3)
        >>> data.prepare_lists()
        >>> len(data.train_lists[0, 0].documents)
        4
    """

    def __init__(
        self,
        source: Collection | CollectionSource | ListSource,
        *,
        candidates: CandidateMiner | Run | str | PathLike | None = None,
        teacher_scores: Run | str | PathLike | None = None,
        negatives: int = 7,
        negative_ranks: tuple[int, int] = (1, 100),
        train_split: str = "train",
        validation_split: str | None = "validation",
        validation_depth: int = 50,
        validation_queries: int | None = None,
        batch_size: int = 16,
        validation_batch_size: int = 8,
        in_batch_negatives: bool = False,
        group_size: int = 8,
        token_budget: int | None = None,
        workers: int = 0,
        seed: int = 0,
        tokenizer: PairTokenizer | LateInteractionTokenizer | ImageReader | None = None,
    ) -> None:
        super().__init__()
        if in_batch_negatives and teacher_scores is not None:
            raise InputError(
                "in_batch_negatives=True with teacher_scores: no teacher saw the documents of other lists; drop one"
            )
        self.source = source
        self.candidates = candidates
        self.teacher_scores = teacher_scores
        self.negatives = negatives
        self.negative_ranks = negative_ranks
        self.train_split = train_split
        self.validation_split = validation_split
        self.validation_depth = validation_depth
        self.validation_queries = validation_queries
        self.batch_size = batch_size
        self.validation_batch_size = validation_batch_size
        self.in_batch_negatives = in_batch_negatives
        self.group_size = group_size
        self.token_budget = token_budget
        self.workers = workers
        self.seed = seed
        self.tokenizer = tokenizer
        self.train_lists: DrawnLists | ReadyLists | StreamedLists | None = None
        self.validation_lists: ReadyLists | None = None
        self._loaders: list[EpochLoader | StreamLoader] = []
        self._texts: Any = None
        self._said: Tensor | None = None

    def setup(self, stage: str | None = None) -> None:
        """Make the lists, once, and find the tokenizer."""
        if self.tokenizer is None:
            if self.trainer is None:
                raise InputError("tokenizer: pass one, or attach the data module to a Trainer")
            model = cast(Any, self.trainer.lightning_module).model
            self.tokenizer, self._texts = model.tokenizer, getattr(model, "texts", None)
        if self.train_lists is None:
            self.prepare_lists()

    def prepare_lists(self) -> None:
        """Read the source and make ``train_lists`` and ``validation_lists``."""
        if isinstance(self.source, ListSource):
            if self.teacher_scores is not None:
                raise InputError("teacher_scores: ready lists hold their own, in each line; leave it out")
            stream = self.source.stream(self.train_split) if isinstance(self.source, StreamSource) else None
            train = self.source.lists(self.train_split) if stream is None else stream
            if not train:
                raise InputError(f"split {self.train_split!r} holds no list, nothing to train on")
            self.train_lists = train if isinstance(train, StreamedLists) else ReadyLists(train)
            if self.validation_split is not None:
                self.validation_lists = ReadyLists(self.source.lists(self.validation_split))
            return
        collection = self.source if isinstance(self.source, Collection) else self.source.load()
        self._check_validation(collection)
        self.train_lists = DrawnLists(
            collection.task(self.train_split),
            self._found(collection, self.train_split),
            negatives=self.negatives,
            ranks=self.negative_ranks,
            teacher_scores=self._taught(),
            seed=self.seed,
        )
        if self.validation_split is not None:
            task = collection.task(self.validation_split)
            if self.validation_queries is not None:
                task = task.sample(self.validation_queries, self.seed)
            found = self._found(collection, self.validation_split) or {}
            if not any(found.get(query) for query in task.queries.ids):
                raise InputError(
                    f"candidates: none for any of the {len(task.queries.ids)} queries of {task.name}; give a run of "
                    "these queries, or validation_split=None"
                )
            self.validation_lists = ReadyLists(ranked_lists(task, found, depth=self.validation_depth))

    def train_dataloader(self) -> EpochLoader | StreamLoader:
        """Shuffled batches; the loader stores its place in the checkpoint."""
        lists = self._ready(self.train_lists)
        if isinstance(lists, StreamedLists):
            return self._stream_loader(lists)
        return self._loader(lists, self.batch_size, shuffle=True, in_batch_negatives=self.in_batch_negatives)

    def val_dataloader(self) -> EpochLoader | list[EpochLoader]:
        """The validation lists in order; none where nothing validates."""
        if self.validation_split is None:
            return []
        lists = cast(EpochLists, self._ready(self.validation_lists))
        return self._loader(lists, self.validation_batch_size, shuffle=False, in_batch_negatives=False)

    def teardown(self, stage: str | None = None) -> None:
        """Stop the loaders' workers."""
        while self._loaders:
            self._loaders.pop().close()

    def on_exception(self, exception: BaseException) -> None:
        """Stop the loaders' workers."""
        self.teardown()

    def _loader(self, lists: EpochLists, batch_size: int, *, shuffle: bool, in_batch_negatives: bool) -> EpochLoader:
        loader = EpochLoader(
            lists,
            self._collate(in_batch_negatives),
            batch_size=batch_size,
            shuffle=shuffle,
            workers=self.workers,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )
        self._loaders.append(loader)
        return loader

    def _stream_loader(self, lists: StreamedLists) -> StreamLoader:
        loader = StreamLoader(
            lists,
            self._collate(self.in_batch_negatives),
            batch_size=self.batch_size,
            workers=self.workers,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )
        self._loaders.append(loader)
        return loader

    def _collate(self, in_batch_negatives: bool) -> ListCollate | ReportedCollate:
        if self.tokenizer is None:
            raise InputError("tokenizer: call setup() first, or pass one")
        collate = ListCollate(
            self.tokenizer,
            in_batch_negatives=in_batch_negatives,
            group_size=self.group_size,
            token_budget=self.token_budget,
        )
        if self._texts is None:
            return collate
        reported = ReportedCollate(collate, self._texts, **({} if self._said is None else {"said": self._said}))
        self._said = reported.said
        return reported

    def _check_validation(self, collection: Collection) -> None:
        if self.validation_split is None:
            return
        if self.candidates is None:
            raise InputError("candidates: validation needs them; pass a run or a miner, or validation_split=None")
        if self.validation_split == self.train_split:
            raise InputError(
                f"validation_split={self.validation_split!r} is the training split: choose another or None"
            )
        collection.task(self.validation_split)

    def _found(self, collection: Collection, split: str) -> Run | None:
        """The candidates of a split's queries."""
        if self.candidates is None or isinstance(self.candidates, dict):
            return self.candidates
        if isinstance(self.candidates, str | PathLike):
            return read_run(str(self.candidates))
        return self.candidates(collection, split)

    def _taught(self) -> Run | None:
        if isinstance(self.teacher_scores, str | PathLike):
            return read_teacher_scores(str(self.teacher_scores))
        return self.teacher_scores

    @staticmethod
    def _ready(lists: DrawnLists | ReadyLists | StreamedLists | None) -> DrawnLists | ReadyLists | StreamedLists:
        if lists is None:
            raise InputError("the data module is not set up: call setup() first")
        return lists
