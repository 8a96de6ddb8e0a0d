"""The systems that are compared, what validation chooses for each, and its five trained models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import ltr_networks
from benchmarks.ltr_data import Fold
from benchmarks.ltr_fitted import Fitted
from benchmarks.ltr_settings import LOSSES, Network, Tree, networks, trees
from benchmarks.ltr_trees import fit_lightgbm, fit_xgboost
from benchmarks.show import OURS

# So many validation queries in one fold decide as well as all folds do.
_ENOUGH = 200


class System(NamedTuple):
    """How it is trained on a fold with a setting and a seed, and the settings there are."""

    name: str
    fit: Callable[[Fold, Any, int], Fitted]
    settings: Sequence[Network | Tree]


class Trained(NamedTuple):
    """The models of the setting that validation chose: scores of the test rows and seconds of each seed."""

    name: str
    setting: str
    validation: float
    scores: Tensor
    seconds: list[float]


def systems(queries: int, *, quick: bool, threads: int) -> list[System]:
    """Trees whose library is installed, and a network a loss; its first loss also with attention, and without bins.

    Args:
        queries: how many there are to train on.
        quick: tiny settings.
        threads: of the trees.
    """
    peers = (
        ("lightgbm", "LightGBM lambdarank", partial(fit_lightgbm, "lambdarank")),
        ("lightgbm", "LightGBM rank_xendcg", partial(fit_lightgbm, "rank_xendcg")),
        ("xgboost", "XGBoost rank:ndcg", partial(fit_xgboost, "rank:ndcg")),
    )
    found = []
    for module, name, fit in peers:
        if find_spec(module) is None:
            print(f'skipped: {name} ({module} not installed: pip install "rankgrad[bench]")')
        else:
            found.append(System(name, partial(fit, threads=threads), trees(quick=quick)))
    settings = networks(queries, quick=quick)
    variants = {name: (loss, settings) for name, loss in LOSSES.items()}
    first, loss = next(iter(LOSSES.items()))
    variants[f"{first}, attention"] = (loss, [replace(each, attention_layers=1) for each in settings])
    variants[f"{first}, no bins"] = (loss, [replace(each, transform="log1p_standardise") for each in settings])
    for name, (loss, tried) in variants.items():
        found.append(System(f"{OURS}, {name}", partial(ltr_networks.fit, loss), tried))
    return found


def trained(system: System, folds: Sequence[Fold]) -> Trained:
    """Choose by the mean validation nDCG@10, and train on all folds; what chose is not trained again.

    All folds choose, or the first one where it validates on enough queries.
    """
    choosing = folds[:1] if len(folds[0].validation.queries) >= _ENOUGH else folds
    best, chosen, fitted = -1.0, system.settings[0], list[Fitted]()
    for setting in system.settings:
        tried = [system.fit(fold, setting, seed) for seed, fold in enumerate(choosing)]
        mean = sum(each.validation for each in tried) / len(tried)
        if mean > best:
            best, chosen, fitted = mean, setting, tried
    for seed in range(len(fitted), len(folds)):
        fitted.append(system.fit(folds[seed], chosen, seed))
    validation = sum(each.validation for each in fitted) / len(fitted)
    scores = torch.stack([each.scores for each in fitted])
    return Trained(system.name, chosen.name, validation, scores, [each.seconds for each in fitted])
