"""From hidden states to late-interaction embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from rankgrad._checks import InputError
from rankgrad.modules.projection_layer import ProjectionHead, ProjectionLayer


class Projection(nn.Module):
    """A stack of layers, then L2 normalisation: the head of ColBERT, by default one linear layer without bias.

    Args:
        hidden_size: width of the hidden states.
        dim: width of the embeddings; None leaves the hidden states as they are and only normalises them.
        head: what the layers between are; None = one linear layer.
        truncate_dim: keep only so many leading coordinates, and normalise those (Matryoshka); None = all.

    Shape:
        - hidden: ``[..., hidden_size]``
        - returns: ``[..., dim]`` of unit length, in float32

    Raises:
        InputError: for a ``dim`` below 1, a head without a ``dim``, or a ``truncate_dim`` beyond it.

    Reference:
        Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over
        BERT", SIGIR 2020.

    Example:
        >>> embeddings = Projection(8, 4)(torch.randn(2, 3, 8))
        >>> embeddings.shape, bool(torch.allclose(embeddings.norm(dim=-1), torch.ones(2, 3)))
        (torch.Size([2, 3, 4]), True)
    """

    def __init__(
        self,
        hidden_size: int,
        dim: int | None,
        *,
        head: ProjectionHead | None = None,
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__()
        if dim is None and head is not None:
            raise InputError("head: a projection head needs the width of the embeddings; set dim, or leave head out")
        if dim is not None and dim < 1:
            raise InputError(f"dim={dim}: embeddings have a width of at least 1; None leaves the projection out")
        self.hidden_size = hidden_size
        layers = () if dim is None else (head or ProjectionHead()).layers(hidden_size, dim)
        self.layers = nn.Sequential(*layers)
        self.truncate_dim: int | None = None
        self.truncate(truncate_dim)

    @classmethod
    def of_layers(cls, hidden_size: int, layers: Sequence[ProjectionLayer]) -> Projection:
        """The projection made of these layers, one after another.

        Raises:
            InputError: when one does not take what the layer before it gives.
        """
        width = hidden_size
        for position, layer in enumerate(layers):
            if layer.in_features != width:
                raise InputError(
                    f"layer {position} of the projection takes {layer.in_features} numbers a token and gets {width}: "
                    "the layers belong to different models"
                )
            width = layer.out_features
        projection = cls(hidden_size, None)
        projection.layers = nn.Sequential(*layers)
        return projection

    @property
    def full_dim(self) -> int:
        """Width of the embeddings before they are truncated."""
        return self.layers[-1].out_features if len(self.layers) else self.hidden_size  # type: ignore[return-value]

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self.truncate_dim or self.full_dim

    def truncate(self, width: int | None) -> None:
        """Keep only the first ``width`` coordinates from now on; None = all.

        Raises:
            InputError: for a width that the embeddings do not have.
        """
        if width is not None:
            self.check_width(width)
        self.truncate_dim = width

    def check_width(self, width: int) -> None:
        """Refuse a width that the embeddings do not have.

        Raises:
            InputError: naming both.
        """
        if not 1 <= width <= self.full_dim:
            raise InputError(f"width={width}: the embeddings have {self.full_dim} coordinates; keep 1 to all of them")

    def forward(self, hidden: Tensor) -> Tensor:
        """Project, truncate and normalise."""
        return normalize(self.layers(hidden)[..., : self.dim].float(), dim=-1)

    @torch.no_grad()
    def fit(self, hidden: Tensor) -> None:
        """Start from the principal axes of token states, which keep their similarities best.

        One linear layer becomes these axes. In a deeper head the last layer is fitted, by least squares, to give the
        coordinates on the axes from what the layers before it give at their random start.

        Args:
            hidden: float ``[tokens, hidden_size]``, states of real tokens; of unit length here, as MaxSim sees them.

        Raises:
            InputError: when the last layer is not linear: it has a gate, an activation or a residual.
        """
        if not len(self.layers):
            return
        last = cast(ProjectionLayer, self.layers[-1])
        if not last.is_linear:
            raise InputError("the last layer of this head is not linear and cannot be fitted: train it from its start")
        tokens = normalize(hidden.float(), dim=-1)
        axes = torch.linalg.eigh(tokens.T @ tokens).eigenvectors.flip(-1)[:, : self.full_dim].T
        if len(self.layers) == 1 and axes.shape[0] == self.full_dim:
            last.linear.weight.copy_(axes)
        else:
            inner = self.layers[:-1](hidden.to(last.linear.weight.dtype)).float()
            ridge = 1e-4 * inner.square().mean() * len(inner) * torch.eye(inner.shape[1], device=inner.device)
            solution = torch.linalg.solve(inner.T @ inner + ridge, inner.T @ (hidden.float() @ axes.T))
            last.linear.weight.zero_()
            last.linear.weight[: axes.shape[0]] = solution.T
        if last.linear.bias is not None:
            last.linear.bias.zero_()
