"""What a feature ranker's graph is compared on: lists of many shapes, missing values, numbers in the padding."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from rankgrad.deploy.feature_ranker import PaddedRows
from rankgrad.models import FeatureRanker
from rankgrad.modules.feature_bins import FeatureBins
from rankgrad.modules.feature_transform import FeatureTransform
from rankgrad.pipeline import FeatureCascade

FeatureModel: TypeAlias = FeatureRanker | FeatureCascade

_MISSING = (np.nan, np.inf, -np.inf)
_WIDEST_LOG = 80.0


class ListShape(NamedTuple):
    """A batch of random lists: how many, of how many items, and how many of each list but the first are padding."""

    lists: int
    items: int
    padding: int = 0


SHAPES = (
    ListShape(1, 1),
    ListShape(1, 17),
    ListShape(2, 8, padding=3),
    ListShape(3, 31, padding=27),
    ListShape(5, 13),
    ListShape(7, 64, padding=9),
    ListShape(4, 6, padding=6),
    ListShape(2, 200, padding=150),
)


def random_rows(model: FeatureModel, shape: ListShape, *, seed: int = 0) -> PaddedRows:
    """Random lists on the scale the transform was fitted on, one value in twenty missing, padding full of numbers.

    Numbers in the padding show a graph that does not look at its mask.
    """
    generator = torch.Generator().manual_seed(seed)
    size = (shape.lists, shape.items, model.features)
    features = _on_scale(model, torch.randn(size, generator=generator), generator).numpy().copy()
    chooser = np.random.default_rng(seed)
    missing = chooser.random(size) < 0.05
    features[missing] = chooser.choice(_MISSING, int(missing.sum()))
    lengths = np.full((shape.lists, 1), shape.items - shape.padding)
    lengths[0] = shape.items
    return PaddedRows(features, np.arange(shape.items)[None, :] < lengths)


def _on_scale(model: FeatureModel, normal: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers, moved to where the transform tells numbers apart; of a cascade the last that reads."""
    if isinstance(model, FeatureRanker):
        return _where_told_apart(model.transform, normal, generator)
    features = normal.clone()
    for columns, ranker in model.rankers():
        places = slice(None) if columns is None else columns
        features[..., places] = _where_told_apart(ranker.transform, normal[..., places], generator)
    return features


def _where_told_apart(transform: FeatureBins | FeatureTransform, normal: Tensor, generator: torch.Generator) -> Tensor:
    if isinstance(transform, FeatureBins):
        return _in_bins(transform.low.T, transform.width.T, normal, generator)
    if transform.kind == "quantile":
        return _in_bins(transform.knots[:-1], transform.knots.diff(dim=0), normal, generator)
    return _inverse(transform, normal)


def _in_bins(low: Tensor, width: Tensor, normal: Tensor, generator: torch.Generator) -> Tensor:
    """A place in or near a random bin ``[bins, features]`` of each feature, knots among them."""
    bins = torch.randint(len(low), normal.shape, generator=generator).flatten(0, -2)
    start, size = (each.gather(0, bins).view_as(normal) for each in (low, width))
    return start + normal.round(decimals=1) * size


def _inverse(transform: FeatureTransform, normal: Tensor) -> Tensor:
    """What the transform makes such numbers of."""
    if transform.kind.endswith("standardise"):
        width = transform.deviation.where(transform.deviation.isfinite(), 1.0)
        normal = transform.mean + 1.5 * width * normal
    elif transform.kind == "log1p":
        normal = 3.0 * normal
    if transform.kind.startswith("log1p"):
        normal = normal.clamp(-_WIDEST_LOG, _WIDEST_LOG)
        return normal.sign() * normal.abs().expm1()
    return normal
