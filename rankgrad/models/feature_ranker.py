"""Scores of lists of feature rows: the neural answer to LambdaMART."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from rankgrad._checks import InputError
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad.data.feature_lists import FeatureLists
from rankgrad.models import _folder
from rankgrad.modules.feature_bins import FeatureBins
from rankgrad.modules.feature_transform import FeatureTransform, TransformKind

_KIND = "feature_ranker"
_WEIGHTS = "model.safetensors"


class ListAttention(nn.Module):
    """The items of a list look at each other; in what order they stand does not matter.

    Args:
        dim: of an item's vector.
        heads: of attention.
        dropout: of what is added to the vector.

    Shape:
        items ``[queries, items, dim]``, mask ``[queries, items]`` -> items.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.between = nn.LayerNorm(dim)
        self.feed = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, items: Tensor, mask: Tensor) -> Tensor:
        parts = self.project(self.before(items)).unflatten(-1, (3, self.heads, -1)).transpose(1, 3)
        query, key, value = parts.unbind(dim=2)
        # A list without real items looks at its masked ones: an empty softmax would be NaN.
        seen = mask | ~mask.any(dim=-1, keepdim=True)
        found = scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None, :])
        items = items + self.dropout(self.out(found.transpose(1, 2).flatten(2)))
        return items + self.dropout(self.feed(self.between(items)))


class FeatureRanker(nn.Module):
    """Score rows of features: fitted transform, hidden layers, and by choice attention among the items of a list.

    Without attention an item's score depends on its own features alone. With it, on its whole list too (Pobrotyn et
    al.: Context-aware learning to rank with self-attention, 2020), on no order.

    Args:
        features: how many a row has.
        hidden: widths of the hidden layers.
        attention_layers: layers of attention behind them; 0 = none.
        heads: of attention; they divide the last width.
        dropout: behind every hidden layer.
        transform: what :class:`rankgrad.modules.FeatureTransform` does to the features first, or ``"bins"`` for
            :class:`rankgrad.modules.FeatureBins`: as trees do, a network may then treat each range of a feature apart.
        quantiles: knots of ``"quantile"``.
        bins: of each feature with ``"bins"``.

    Shape:
        features ``[queries, items, features]`` with their mask -> scores ``[queries, items]``, float32; 0 where masked.

    Raises:
        InputError: for sizes that do not fit, or features of another number.

    Example:
        >>> import torch
        >>> from rankgrad.data import FeatureLists
        >>> _ = torch.manual_seed(0)
        >>> ranker = FeatureRanker(2, hidden=(8,), transform="standardise")
        >>> ranker.fit_transform(torch.tensor([[1.0, 4.0], [3.0, 8.0]]))
        >>> lists = FeatureLists(torch.rand(1, 3, 2), torch.tensor([[True, True, False]]))
        >>> ranker(lists).shape
        torch.Size([1, 3])
    """

    def __init__(
        self,
        features: int,
        *,
        hidden: Sequence[int] = (128, 64),
        attention_layers: int = 0,
        heads: int = 4,
        dropout: float = 0.1,
        transform: TransformKind | Literal["bins"] = "log1p_standardise",
        quantiles: int = 64,
        bins: int = 8,
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise InputError(f"hidden={tuple(hidden)}: expected at least one width, each at least 1")
        if attention_layers and hidden[-1] % heads:
            raise InputError(f"hidden={tuple(hidden)}, heads={heads}: the heads must divide the last width")
        self.settings: dict[str, Any] = {
            "features": features,
            "hidden": list(hidden),
            "attention_layers": attention_layers,
            "heads": heads,
            "dropout": dropout,
            "transform": transform,
            "quantiles": quantiles,
            "bins": bins,
        }
        self.transform = (
            FeatureBins(features, bins=bins)
            if transform == "bins"
            else FeatureTransform(features, kind=transform, quantiles=quantiles)
        )
        layers: list[nn.Module] = []
        seen = features * bins if transform == "bins" else features
        for before, width in zip((seen, *hidden), hidden, strict=False):
            layers += [nn.Linear(before, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.attention = nn.ModuleList(ListAttention(hidden[-1], heads, dropout) for _ in range(attention_layers))
        self.score = nn.Linear(hidden[-1], 1)

    @property
    def features(self) -> int:
        """How many features a row has."""
        return self.settings["features"]

    def fit_transform(self, rows: Tensor) -> None:
        """Fit the transform on training rows ``[rows, features]``."""
        self.transform.fit(rows)

    def forward(self, lists: FeatureLists) -> Tensor:
        """Score the rows of padded lists."""
        return self.forward_lists(lists.features, lists.mask)

    def forward_lists(self, features: Tensor, mask: Tensor) -> Tensor:
        """The graph that is exported."""
        items = self.transform(features.masked_fill(~mask.unsqueeze(-1), 0.0))
        items = self.layers(items.to(self.score.weight.dtype))
        for layer in self.attention:
            items = layer(items, mask)
        return self.score(items).squeeze(-1).float().masked_fill(~mask, 0.0)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write configuration and weights (safetensors), the fitted transform among them; all of it or nothing."""
        check_replaceable(folder, _folder.CONFIG)
        with atomic_folder(folder) as temporary:
            _folder.write_json(temporary / _folder.CONFIG, {"model_type": f"rankgrad_{_KIND}", **self.settings})
            _folder.save_tensors(self.state_dict(), temporary / _WEIGHTS)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> FeatureRanker:
        """Read a folder that :meth:`save_pretrained` wrote; the model is in evaluation mode.

        Raises:
            InputError: for a folder of another kind, or damaged files.
        """
        name = Path(_folder.resolve(folder))
        settings = _folder.read_json(name / _folder.CONFIG)
        if settings.pop("model_type", None) != f"rankgrad_{_KIND}":
            raise InputError(f"{folder} holds no feature ranker: pass what FeatureRanker.save_pretrained wrote")
        try:
            model = cls(**settings)
        except TypeError as error:
            raise InputError(f"{name / _folder.CONFIG} is no configuration of a feature ranker ({error})") from error
        _folder.load_state(model, _folder.load_tensors(name / _WEIGHTS), name / _WEIGHTS)
        return model.eval()
