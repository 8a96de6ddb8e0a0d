"""Features as the share of each of their bins that lies below them: what lets a network draw a tree's thresholds."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError

_LEAST_DEVIATION = 0.2


class FeatureBins(nn.Module):
    """Piecewise linear encoding: a feature becomes ``bins`` numbers, fitted on the training rows.

    Bin b of a feature between the knots ``q_b`` and ``q_(b+1)``, quantiles of its training rows, is ``clamp((x - q_b) /
    (q_(b+1) - q_b), 0, 1)``, less its mean, over its deviation or 0.2 if that is greater. A linear layer behind it is
    any piecewise linear function of each feature: it may rise, fall and jump where a tree would split. Bins of no width
    (tied quantiles, features that never vary) and what is not finite are 0.

    Args:
        features: how many there are.
        bins: of each.

    Shape:
        ``[..., features]`` -> ``[..., features * bins]``, float32.

    Raises:
        InputError: for sizes below 1, another number of features, or use before ``fit``.

    Reference:
        Gorishniy, Rubachev, Babenko: On embeddings for numerical features in tabular deep learning, NeurIPS 2022.

    Example:
        >>> encode = FeatureBins(1, bins=2)
        >>> encode.fit(torch.tensor([[0.0], [1.0], [3.0]]))
        >>> encode(torch.tensor([[0.0], [2.0], [3.0]]))
        tensor([[-1.4142, -0.7071],
                [ 0.7071,  0.3536],
                [ 0.7071,  1.4142]])
    """

    low: Tensor
    width: Tensor
    mean: Tensor
    scale: Tensor
    fitted: Tensor

    def __init__(self, features: int, *, bins: int = 8) -> None:
        super().__init__()
        if features < 1 or bins < 1:
            raise InputError(f"features={features}, bins={bins}: need at least 1 of each")
        self.features, self.bins = features, bins
        for name, value in (("low", 0.0), ("width", 1.0), ("mean", 0.0), ("scale", 0.0)):
            self.register_buffer(name, torch.full((features, bins), value))
        self.register_buffer("fitted", torch.tensor(False))

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Take the knots of each feature from training rows ``[rows, features]``.

        Raises:
            InputError: for another number of features, or no rows.
        """
        self._check(rows)
        if rows.dim() != 2 or not rows.shape[0]:
            raise InputError(f"rows: expected at least one row [rows, {self.features}], got {list(rows.shape)}")
        for feature, values in enumerate(rows.double().cpu().numpy().T):
            self._fit_feature(feature, values[np.isfinite(values)])
        self.fitted.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        if not (torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()):
            self.check_fitted()
        x = x.float().unsqueeze(-1)
        present = x.isfinite()
        passed = ((x.where(present, 0.0) - self.low) / self.width).clamp(0.0, 1.0)
        return ((passed - self.mean) * self.scale).where(present, 0.0).flatten(-2)

    def check_fitted(self) -> None:
        """Refuse bins without knots.

        Raises:
            InputError: before ``fit``.
        """
        if not bool(self.fitted):
            raise InputError("the bins are not fitted: call fit with training rows first")

    def _fit_feature(self, feature: int, values: np.ndarray) -> None:
        """Knots in float32, as they are used, so that a bin's mean and deviation are those of what it gives."""
        place = self.low.device
        knots = np.quantile(values, np.linspace(0, 1, self.bins + 1)) if values.size else np.zeros(self.bins + 1)
        knots = knots.astype(np.float32)
        real = np.diff(knots) > 0
        low, width = knots[:-1], np.where(real, np.diff(knots), 1.0).astype(np.float32)
        passed = np.clip((values[:, None] - low) / width, 0, 1) if values.size else np.zeros((1, self.bins))
        scale = np.where(real, 1 / np.maximum(passed.std(axis=0), _LEAST_DEVIATION), 0.0)
        for buffer, found in (
            (self.low, low),
            (self.width, width),
            (self.mean, passed.mean(axis=0)),
            (self.scale, scale),
        ):
            buffer[feature] = torch.as_tensor(found, dtype=torch.float32, device=place)

    def _check(self, x: Tensor) -> None:
        if x.dim() == 0 or x.shape[-1] != self.features:
            raise InputError(f"features: expected [..., {self.features}], got {list(x.shape)}")
