"""Filling the weights of query tokens before a training begins."""

from __future__ import annotations

from typing import Any, cast

import pytorch_lightning as pl

from rankgrad._checks import InputError
from rankgrad.data.training_lists import DrawnLists, ReadyLists


class FitQueryWeights(pl.Callback):
    """Set the ``query_weights`` of a ColBERT to the inverse document frequencies of what it trains on.

    Of a collection all documents count, of ready lists those of the lists. A training that is resumed goes on with the
    weights of its checkpoint.

    Raises:
        InputError: for a model without such weights, or lists that are streamed: fit those with
            :meth:`rankgrad.models.ColBERT.fit_idf` beforehand.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Fit, before a checkpoint is read."""
        if stage != "fit":
            return
        model = cast(Any, pl_module.model)
        if getattr(model, "query_weights", None) is None:
            raise InputError(
                f"{type(model).__name__} has no weights of query tokens: set query_weights, or take the callback out"
            )
        lists = getattr(cast(Any, trainer).datamodule, "train_lists", None)
        if isinstance(lists, DrawnLists):
            texts = lists.task.documents.texts
        elif isinstance(lists, ReadyLists):
            texts = list(dict.fromkeys(text for one in lists.lists for text in one.documents))
        else:
            raise InputError(
                "FitQueryWeights reads the data module's lists, and none are in memory: call model.fit_idf(documents) "
                "and save the model, then train that one without the callback"
            )
        model.fit_idf(texts)
