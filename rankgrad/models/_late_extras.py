"""What a ColBERT of ours has on disk beyond the layouts of others: widths, the pruner, weights of query tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankgrad._checks import InputError
from rankgrad.models import _folder
from rankgrad.models.colbert_layout import Layout
from rankgrad.modules.projection import Projection
from rankgrad.modules.query_weights import QueryWeights
from rankgrad.modules.token_pruner import TokenPruner

if TYPE_CHECKING:
    from rankgrad.models._late_weights import QueryWeighing

_PRUNER, _WEIGHTS = "pruner.safetensors", "query_weights.safetensors"


def options(
    extras: dict[str, Any],
    matryoshka_dims: Sequence[int] | None,
    keep_share: float | None,
    query_weights: QueryWeighing | None,
    truncate_dim: int | None,
) -> dict[str, Any]:
    """The class's options: what is given, else what the folder says."""
    given = {"matryoshka_dims": matryoshka_dims, "keep_share": keep_share, "query_weights": query_weights}
    given |= {"truncate_dim": truncate_dim}
    defaults = {"matryoshka_dims": ()}
    return {name: extras.get(name, defaults.get(name)) if value is None else value for name, value in given.items()}


def settings(
    matryoshka_dims: Sequence[int], projection: Projection, pruner: TokenPruner | None, weights: QueryWeights | None
) -> dict[str, Any]:
    """What the folder is to say."""
    found: dict[str, Any] = {"matryoshka_dims": list(matryoshka_dims)} if matryoshka_dims else {}
    found |= {} if projection.truncate_dim is None else {"truncate_dim": projection.truncate_dim}
    found |= {} if pruner is None else {"keep_share": pruner.share}
    return found | ({} if weights is None else {"query_weights": weights.kind})


def layout_for(layout: Layout | None, weights: QueryWeights | None) -> Layout | None:
    """The layout asked for; with weights of query tokens our own, as readers of others would compare without them.

    Raises:
        InputError: for weights and a layout that has no place for them.
    """
    if weights is not None and layout not in (None, "rankgrad"):
        raise InputError(f'layout={layout!r} has no place for the weights of query tokens: write layout="rankgrad"')
    return layout if weights is None else "rankgrad"


def save(folder: Path, pruner: TokenPruner | None, weights: QueryWeights | None) -> None:
    """Write the tensors."""
    for part, name in ((pruner, _PRUNER), (weights, _WEIGHTS)):
        if part is not None:
            _folder.save_tensors(part.state_dict(), folder / name)


def load(source: str, extras: dict[str, Any], pruner: TokenPruner | None, weights: QueryWeights | None) -> None:
    """Read the tensors that the folder says it has.

    Raises:
        InputError: for missing or damaged files.
    """
    for part, key, name in ((pruner, "keep_share", _PRUNER), (weights, "query_weights", _WEIGHTS)):
        if part is not None and key in extras:
            path = _folder.fetch(source, name)
            _folder.load_state(part, _folder.load_tensors(path), path)
