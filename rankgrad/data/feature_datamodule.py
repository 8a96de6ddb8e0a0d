"""Learning-to-rank tables for Lightning."""

from __future__ import annotations

from os import PathLike
from typing import Any, cast

import numpy as np
from pytorch_lightning import LightningDataModule

from rankgrad._checks import InputError
from rankgrad.data.epoch_loader import EpochLoader
from rankgrad.data.feature_lists import TableLists, collate_features
from rankgrad.data.letor import FeatureTable, read_letor


class FeatureListDataModule(LightningDataModule):
    """Batches of lists from svmlight files; what comes when depends on ``seed`` alone, also after a resume.

    At ``setup`` the training rows fit the transform of the model being trained, where it has one that is not fitted.

    Args:
        train: file to train on.
        validation: file to validate on; None holds out a share of the training queries.
        train_sizes: rows of each training query, for files without ``qid``.
        validation_sizes: the same for ``validation``.
        features: how many there are; None = as many as the training file shows.
        hold_out: share of the training queries that validate where ``validation`` is None; 0 = none validate.
        longest: draw so many items of longer training lists, anew in each epoch; None = whole lists.
        batch_size: lists a training batch.
        validation_batch_size: lists a validation batch.
        seed: of order, choice and hold-out.

    Raises:
        InputError: at ``setup``, for files that cannot be used.

    Example:
        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile("w") as file:
        ...     _ = file.write("".join(f"{row % 2} qid:{row // 4} 1:{row}\\n" for row in range(40)))
        ...     file.flush()
        ...     data = FeatureListDataModule(file.name, hold_out=0.2)
        ...     data.setup()
        >>> len(data.train_lists), len(data.validation_lists)
        (8, 2)
    """

    def __init__(
        self,
        train: str | PathLike,
        *,
        validation: str | PathLike | None = None,
        train_sizes: str | PathLike | None = None,
        validation_sizes: str | PathLike | None = None,
        features: int | None = None,
        hold_out: float = 0.2,
        longest: int | None = None,
        batch_size: int = 32,
        validation_batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= hold_out < 1:
            raise InputError(f"hold_out={hold_out}: expected a share from 0 to below 1")
        if longest is not None and longest < 2:
            raise InputError(f"longest={longest}: expected at least 2 items, or None")
        self.train, self.train_sizes = train, train_sizes
        self.validation, self.validation_sizes = validation, validation_sizes
        self.features, self.hold_out, self.longest = features, hold_out, longest
        self.batch_size, self.validation_batch_size, self.seed = batch_size, validation_batch_size, seed
        self.train_lists: TableLists | None = None
        self.validation_lists: TableLists | None = None
        self._loaders: list[EpochLoader] = []

    def setup(self, stage: str | None = None) -> None:
        """Read the files, once, and fit the model's transform."""
        if self.train_lists is None:
            self._read()
        model = getattr(self.trainer.lightning_module, "model", None) if self.trainer else None
        transform = getattr(model, "transform", None)
        if transform is not None and not bool(transform.fitted):
            table = cast(TableLists, self.train_lists).table
            transform.fit(table.features[_rows_of(cast(TableLists, self.train_lists))])

    def _read(self) -> None:
        features = self.features
        if features is None and self.trainer is not None:
            features = getattr(cast(Any, self.trainer.lightning_module).model, "features", None)
        table = read_letor(self.train, query_sizes=self.train_sizes, features=features)
        trained, held = range(len(table.queries)), []
        if self.validation is not None:
            other = read_letor(self.validation, query_sizes=self.validation_sizes, features=table.features.shape[1])
            self.validation_lists = TableLists(other)
        elif self.hold_out:
            order = np.random.default_rng(self.seed).permutation(len(table.queries))
            count = max(1, round(self.hold_out * len(order)))
            held, trained = sorted(order[:count].tolist()), sorted(order[count:].tolist())
            self.validation_lists = TableLists(table, held)
        if not len(trained):
            raise InputError(f"{self.train}: no query is left to train on; lower hold_out or name a validation file")
        self.train_lists = TableLists(table, trained, longest=self.longest, seed=self.seed)

    def train_dataloader(self) -> EpochLoader:
        """Shuffled batches; the loader stores its place in the checkpoint."""
        return self._loader(self.train_lists, self.batch_size, shuffle=True)

    def val_dataloader(self) -> EpochLoader | list[EpochLoader]:
        """The validation lists in order; none where nothing validates."""
        if self.train_lists is not None and self.validation_lists is None:
            return []
        return self._loader(self.validation_lists, self.validation_batch_size, shuffle=False)

    def teardown(self, stage: str | None = None) -> None:
        """Let go of the loaders."""
        while self._loaders:
            self._loaders.pop().close()

    def _loader(self, lists: TableLists | None, batch_size: int, *, shuffle: bool) -> EpochLoader:
        if lists is None:
            raise InputError("the data module is not set up: call setup() first")
        loader = EpochLoader(
            cast(Any, lists),
            cast(Any, collate_features),
            batch_size=batch_size,
            shuffle=shuffle,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )
        self._loaders.append(loader)
        return loader


def _rows_of(lists: TableLists) -> Any:
    """Which rows of the table the lists hold."""
    table: FeatureTable = lists.table
    chosen = np.zeros(len(table.queries), dtype=bool)
    chosen[list(range(len(table.queries)) if lists.queries is None else lists.queries)] = True
    return np.repeat(chosen, np.diff(table.cu_seqlens.numpy()))
