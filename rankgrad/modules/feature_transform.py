"""What is done to the features of tabular data before a network sees them."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError

TransformKind: TypeAlias = Literal["none", "log1p", "standardise", "log1p_standardise", "quantile"]
_KINDS = ("none", "log1p", "standardise", "log1p_standardise", "quantile")


class FeatureTransform(nn.Module):
    """Bring features to a common scale; fitted on the training rows and part of the model, so of its export too.

    - ``"log1p"``: ``sign(x) log(1 + |x|)``, for counts and other long tails; nothing to fit.
    - ``"standardise"``: ``(x - mean) / deviation``; a feature that never varies becomes 0.
    - ``"log1p_standardise"``: the second after the first.
    - ``"quantile"``: the share of training rows below x, from -1 to 1: linear between ``quantiles`` knots, tied knots
      left out. Whatever the feature's scale or tail, training rows are spread evenly.

    What is not finite counts as missing and becomes 0, behind the fitted transform: the mean of a standardised feature.

    Args:
        features: how many there are.
        kind: which of the above, or ``"none"``.
        quantiles: knots of ``"quantile"``.

    Shape:
        ``[..., features]`` -> the same, float32.

    Raises:
        InputError: for an unknown kind, fewer than 2 knots, another number of features, or use before ``fit``.

    Example:
        >>> transform = FeatureTransform(1, kind="standardise")
        >>> transform.fit(torch.tensor([[1.0], [3.0]]))
        >>> transform(torch.tensor([[1.0], [2.0], [float("nan")]])).squeeze(1)
        tensor([-1.,  0.,  0.])
    """

    mean: Tensor
    deviation: Tensor
    knots: Tensor
    rises: Tensor
    fitted: Tensor

    def __init__(self, features: int, *, kind: TransformKind = "log1p_standardise", quantiles: int = 64) -> None:
        super().__init__()
        if kind not in _KINDS:
            raise InputError(f"kind: expected one of {', '.join(_KINDS)}, got {kind!r}")
        if features < 1 or quantiles < 2:
            raise InputError(f"features={features}, quantiles={quantiles}: need at least 1 and at least 2")
        self.features, self.kind, self.quantiles = features, kind, quantiles
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        knots = quantiles if kind == "quantile" else 0
        self.register_buffer("knots", torch.zeros(knots, features))
        self.register_buffer("rises", torch.zeros(max(knots - 1, 0), features))
        self.register_buffer("fitted", torch.tensor(kind in ("none", "log1p")))

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Take the scale of each feature from training rows ``[rows, features]``.

        Raises:
            InputError: for another number of features, or no rows.
        """
        self._check(rows)
        if rows.dim() != 2 or not rows.shape[0]:
            raise InputError(f"rows: expected at least one row [rows, {self.features}], got {list(rows.shape)}")
        if self.kind.endswith("standardise"):
            rows = rows.double()
            rows = rows.sign() * rows.abs().log1p() if self.kind.startswith("log1p") else rows
            rows = rows.where(rows.isfinite(), float("nan"))
            mean = rows.nanmean(dim=0).nan_to_num()
            variance = (rows - mean).square().nanmean(dim=0).nan_to_num()
            # What is left of the rounding of equal numbers is no spread.
            varies = variance.sqrt() > 1e-7 * mean.abs()
            self.mean.copy_(mean)
            self.deviation.copy_(variance.sqrt().where(varies, float("inf")))
        elif self.kind == "quantile":
            self.knots.copy_(torch.stack([_quantiles(column, self.quantiles) for column in rows.unbind(1)], dim=1))
            # A step of no width is no slope; the place of its tied values is the middle of what they share.
            self.rises.copy_(2.0 * (self.knots.diff(dim=0) > 0).float())
            self.rises.div_(self.rises.sum(dim=0).clamp(min=1e-30) / 2.0)
        self.fitted.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        if not (torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()):
            self.check_fitted()
        x = x.float()
        present = x.isfinite()
        x = x.where(present, 0.0)
        if self.kind.startswith("log1p"):
            x = x.sign() * _log1p(x.abs())
        if self.kind.endswith("standardise"):
            x = (x - self.mean) / self.deviation
        elif self.kind == "quantile":
            low, high = self.knots[:-1], self.knots[1:]
            width = (high - low).where(high > low, 1.0)
            passed = ((x.unsqueeze(-2) - low) / width).clamp(0.0, 1.0)
            x = (passed * self.rises).sum(dim=-2) - 1.0
        return x.where(present, 0.0)

    def check_fitted(self) -> None:
        """Refuse a transform without a scale.

        Raises:
            InputError: before ``fit``, for a kind that needs it.
        """
        if not bool(self.fitted):
            raise InputError(f'the "{self.kind}" transform is not fitted: call fit with training rows first')

    def _check(self, x: Tensor) -> None:
        if x.dim() == 0 or x.shape[-1] != self.features:
            raise InputError(f"features: expected [..., {self.features}], got {list(x.shape)}")


def _quantiles(values: Tensor, count: int) -> Tensor:
    """The least and largest finite value and evenly spread quantiles between them; zeros where there is none.

    ``torch.nanquantile`` takes no more than 2^24 values.

    Example:
        >>> _quantiles(torch.tensor([4.0, float("nan"), 0.0, 1.0]), 5)
        tensor([0.0000, 0.5000, 1.0000, 2.5000, 4.0000], dtype=torch.float64)
    """
    shares = torch.linspace(0, 1, count, dtype=torch.float64, device=values.device)
    ordered = values[values.isfinite()].sort().values
    if not len(ordered):
        return torch.zeros_like(shares)
    places = shares * (len(ordered) - 1)
    low, high = (ordered[place.long()].double() for place in (places.floor(), places.ceil()))
    return low.lerp(high, places.frac())


def _log1p(x: Tensor) -> Tensor:
    """``log(1 + x)`` of what is not negative, exact for small x in ONNX too.

    ONNX has no such operator, and the exporter's ``log(1 + x)`` loses what 1 + x rounds away: of a feature around 1e-6
    up to 6 %. The quotient puts it back.

    Reference:
        Goldberg: What every computer scientist should know about floating-point arithmetic, ACM Computing Surveys 23,
        1991, theorem 4.
    """
    if not torch.onnx.is_in_onnx_export():
        return x.log1p()
    above = 1.0 + x
    gained = above - 1.0
    return torch.where(gained == 0.0, x, above.log() * (x / gained.where(gained != 0.0, 1.0)))
