"""What a cascade of feature rankers does with lists of these lengths, in one line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankgrad.cli._load import BUNDLE_FILE

if TYPE_CHECKING:
    from torch import Tensor

    from rankgrad.cli._load import FeatureModel


def stage_line(name: str, model: FeatureModel, folder: Path, lengths: Tensor) -> str | None:
    """How many rows each stage scores a query, and the cost; None for what is no cascade.

    Args:
        name: of the system.
        model: as it was loaded.
        folder: where from; of a bundle it says what the graph is made of.
        lengths: rows of each query.
    """
    from rankgrad.pipeline import FeatureCascade

    if isinstance(model, FeatureCascade):
        cutoffs, costs = model.cascade.hard_cutoffs, model.cascade.costs.tolist()
    else:
        path = folder / BUNDLE_FILE
        about = json.loads(path.read_text(encoding="utf-8")).get("cascade") if path.is_file() else None
        if about is None:
            return None
        cutoffs, costs = about["cutoffs"], about["costs"]
    scored = rows_scored(lengths, cutoffs)
    cost = sum(count * each for count, each in zip(scored, costs, strict=True))
    stages = ", ".join(f"stage {stage} {count:.1f}" for stage, count in enumerate(scored, 1))
    return f"{name}: documents scored a query: {stages}; expected cost {cost:.4g} ms a query"


def rows_scored(lengths: Tensor, cutoffs: Sequence[int]) -> list[float]:
    """Mean rows a query that each stage scores: all, then those handed on.

    Example:
        >>> import torch
        >>> rows_scored(torch.tensor([10, 2]), [4, 1])
        [6.0, 3.0, 1.0]
    """
    rows = lengths.double()
    return [rows.mean().item(), *(rows.clamp(max=k).mean().item() for k in cutoffs)]
