"""rankgrad's feature ranker, trained with any of its losses."""

from __future__ import annotations

import copy
import time

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from benchmarks.ltr_data import Fold
from benchmarks.ltr_fitted import Fitted
from benchmarks.ltr_quality import Judged
from benchmarks.ltr_settings import Network
from rankgrad.data import FeatureTable, TableLists, collate_features
from rankgrad.models import FeatureRanker
from rankgrad.training.optim import learning_rate_factor, parameter_groups, set_learning_rates

_SCORED_AT_ONCE = 256


def fit(loss: nn.Module, fold: Fold, setting: Network, seed: int) -> Fitted:
    """Train until validation nDCG@10 no longer rises, and keep the average of the weights where it was best.

    AdamW with a warm-up and a linear decay, gradients clipped to norm 1.
    """
    start = time.perf_counter()
    torch.manual_seed(seed)
    model = FeatureRanker(
        fold.train.features.shape[1],
        hidden=setting.hidden,
        attention_layers=setting.attention_layers,
        dropout=setting.dropout,
        transform=setting.transform,
        bins=setting.bins,
    )
    model.fit_transform(fold.train.features)
    lists, judged = TableLists(fold.train), Judged.of(fold.validation)
    groups = parameter_groups(model, learning_rate=setting.learning_rate, weight_decay=setting.weight_decay)
    optimizer, average = torch.optim.AdamW(groups), copy.deepcopy(model).eval()
    steps = setting.epochs * -(-len(lists) // setting.batch)
    best, kept, since, step = -1.0, average.state_dict(), 0, 0
    for epoch in range(setting.epochs):
        model.train()
        for places in torch.randperm(len(lists)).split(setting.batch):
            batch = collate_features([lists[epoch, place] for place in places.tolist()])
            set_learning_rates(optimizer, learning_rate_factor(step, total=steps, warmup=0.02, decay="linear"))
            optimizer.zero_grad()
            loss(model(batch.features), batch.labels, batch.mask).backward()
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            _move(average, model, min(setting.average, (1 + step) / (10 + step)))
        found = judged.mean(scores(average, fold.validation))
        since += 1
        if found > best:
            best, kept, since = found, copy.deepcopy(average.state_dict()), 0
        elif since >= setting.patience:
            break
    seconds = time.perf_counter() - start
    average.load_state_dict(kept)
    return Fitted(best, scores(average, fold.test), seconds)


@torch.no_grad()
def scores(model: FeatureRanker, table: FeatureTable) -> Tensor:
    """Scores of all rows."""
    lists, found = TableLists(table), []
    for places in torch.arange(len(lists)).split(_SCORED_AT_ONCE):
        batch = collate_features([lists[0, place] for place in places.tolist()])
        found.append(model(batch.features)[batch.mask])
    return torch.cat(found)


@torch.no_grad()
def _move(average: nn.Module, model: nn.Module, keep: float) -> None:
    for old, new in zip(average.parameters(), model.parameters(), strict=True):
        old.lerp_(new, 1 - keep)
