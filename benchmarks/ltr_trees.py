"""LightGBM and XGBoost, trained as the networks are: stopped by the same validation queries, measured by us."""

from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks.ltr_data import Fold, sizes
from benchmarks.ltr_fitted import Fitted
from benchmarks.ltr_quality import Judged
from benchmarks.ltr_settings import Tree
from benchmarks.parity import DisagreementError

_TOLERANCE = 1e-5


def fit_lightgbm(objective: str, fold: Fold, setting: Tree, seed: int, *, threads: int) -> Fitted:
    """LightGBM with ``lambdarank`` or ``rank_xendcg``; rows and features are drawn for each tree."""
    import lightgbm  # pyright: ignore[reportMissingImports]

    start = time.perf_counter()
    train = lightgbm.Dataset(fold.train.features.numpy(), fold.train.labels.numpy(), group=sizes(fold.train))
    held = fold.validation
    validation = lightgbm.Dataset(held.features.numpy(), held.labels.numpy(), group=sizes(held), reference=train)
    options = {
        "objective": objective,
        "metric": "ndcg",
        "eval_at": [10],
        "learning_rate": setting.learning_rate,
        "num_leaves": setting.leaves,
        "min_data_in_leaf": setting.rows,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.9,
        "bagging_freq": 1,
        "seed": seed,
        "num_threads": threads,
        "verbose": -1,
    }
    stop = lightgbm.early_stopping(setting.patience, verbose=False)
    model = lightgbm.train(options, train, setting.rounds, [validation], callbacks=[stop])
    seconds = time.perf_counter() - start
    _agree("LightGBM", model.best_score["valid_0"]["ndcg@10"], fold, np.asarray(model.predict(held.features.numpy())))
    return _fitted(fold, model.best_score["valid_0"]["ndcg@10"], model.predict(fold.test.features.numpy()), seconds)


def fit_xgboost(objective: str, fold: Fold, setting: Tree, seed: int, *, threads: int) -> Fitted:
    """XGBoost with ``rank:ndcg``, grown leaf by leaf to the same number of leaves."""
    import xgboost  # pyright: ignore[reportMissingImports]

    start = time.perf_counter()
    tables = (fold.train, fold.validation, fold.test)
    train, validation, test = (
        xgboost.DMatrix(table.features.numpy(), table.labels.numpy(), group=sizes(table), nthread=threads)
        for table in tables
    )
    options = {
        "objective": objective,
        "eval_metric": "ndcg@10",
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_depth": 0,
        "max_leaves": setting.leaves,
        # A sum of second derivatives, which are far below 1 a row.
        "min_child_weight": setting.rows / 50,
        "learning_rate": setting.learning_rate,
        "colsample_bytree": 0.5,
        "subsample": 0.9,
        "seed": seed,
        "nthread": threads,
        "verbosity": 0,
    }
    model = xgboost.train(
        options,
        train,
        setting.rounds,
        evals=[(validation, "validation")],
        early_stopping_rounds=setting.patience,
        verbose_eval=False,
    )
    seconds = time.perf_counter() - start
    best = (0, model.best_iteration + 1)
    _agree("XGBoost", model.best_score, fold, model.predict(validation, iteration_range=best))
    return _fitted(fold, model.best_score, model.predict(test, iteration_range=best), seconds)


def _agree(peer: str, own: float, fold: Fold, scores: np.ndarray) -> None:
    """A peer's nDCG and ours of the same scores are the same number, or nothing else can be compared."""
    ours = Judged.of(fold.validation).mean(torch.from_numpy(scores))
    if not abs(own - ours) <= _TOLERANCE:
        raise DisagreementError(f"{peer} says nDCG@10 = {own:.6f} of its validation scores, rankgrad {ours:.6f}")


def _fitted(fold: Fold, validation: float, scores: object, seconds: float) -> Fitted:
    return Fitted(validation, torch.from_numpy(np.asarray(scores, dtype=np.float32)), seconds)
