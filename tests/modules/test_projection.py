"""Projection heads: what they compute, how they start, what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from rankgrad._checks import InputError
from rankgrad.modules import ProjectionHead, ProjectionLayer
from rankgrad.modules.projection import Projection


@pytest.mark.parametrize("activation", [nn.Sigmoid(), nn.SiLU(), nn.GELU()])
@pytest.mark.parametrize("residual", [False, True])
def test_gated_layer(activation: nn.Module, residual: bool) -> None:
    """GLU, SwiGLU and GEGLU: ``(W x + b) * a(G x + c) + R x``."""
    layer = ProjectionLayer(6, 4, bias=True, activation=activation, gated=True, residual=residual)
    state = layer.state_dict()
    x = torch.randn(5, 6)
    wanted = (x @ state["linear.weight"].T + state["linear.bias"]) * activation(
        x @ state["gate.weight"].T + state["gate.bias"]
    )
    if residual:
        wanted = wanted + x @ state["residual.weight"].T
    torch.testing.assert_close(layer(x), wanted)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_head_widths_and_residuals(depth: int) -> None:
    layers = ProjectionHead(depth=depth, expansion=1.5, residual=True, bias=True).layers(8, 4)
    assert [layer.in_features for layer in layers] == [8, 12, 12][:depth]
    assert layers[-1].out_features == 4
    assert [layer.residual is not None for layer in layers] == [*[True] * (depth - 1), depth == 1]
    # The identity where widths agree, a matrix where they do not.
    if depth == 3:
        assert isinstance(layers[1].residual, nn.Identity)
        assert isinstance(layers[0].residual, nn.Linear)
    out = Projection.of_layers(8, layers)(torch.randn(2, 3, 8))
    torch.testing.assert_close(out.norm(dim=-1), torch.ones(2, 3))


def test_truncation_is_of_the_leading_coordinates_renormalised() -> None:
    projection = Projection(8, 6)
    hidden = torch.randn(3, 8)
    full = projection(hidden)
    projection.truncate(4)
    torch.testing.assert_close(projection(hidden), normalize(full[:, :4], dim=-1))
    assert (projection.dim, projection.full_dim) == (4, 6)
    with pytest.raises(InputError, match="width=7: the embeddings have 6"):
        projection.truncate(7)


@pytest.mark.parametrize("activation", [None, nn.GELU()])
def test_fitting_a_deep_head_keeps_similarities(activation: nn.Module | None) -> None:
    hidden = torch.randn(400, 6) @ torch.randn(6, 16)  # six directions matter
    tokens = normalize(hidden, dim=-1)
    wanted = tokens @ tokens.T
    head = ProjectionHead(depth=2, expansion=4, activation=activation, residual=True)
    projection = Projection(16, 8, head=head)

    def error() -> torch.Tensor:
        embeddings = projection(hidden)
        return (embeddings @ embeddings.T - wanted).abs().mean()

    with torch.no_grad():
        before = error()
        projection.fit(hidden)
        assert error() < (1e-2 if activation is None else 0.3 * before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ProjectionHead(depth=4), "depth=4"),
        (lambda: ProjectionHead(expansion=0.0), "expansion=0.0"),
        (lambda: Projection(8, None, head=ProjectionHead()), "set dim"),
        (lambda: Projection.of_layers(8, [ProjectionLayer(6, 4)]), "layer 0 .* takes 6 numbers a token and gets 8"),
        (
            lambda: Projection(8, 4, head=ProjectionHead(activation=nn.ReLU())).fit(torch.randn(9, 8)),
            "not linear and cannot be fitted",
        ),
    ],
)
def test_heads_that_cannot_be(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_a_deep_head_of_half_precision_is_fitted() -> None:
    hidden = torch.randn(50, 8)
    whole = Projection(8, 4, head=ProjectionHead(depth=2))
    half = Projection(8, 4, head=ProjectionHead(depth=2))
    half.load_state_dict(whole.state_dict())
    whole.fit(hidden)
    half.bfloat16().fit(hidden.bfloat16())
    cosines = (whole(hidden) * half(hidden.bfloat16()).float()).sum(-1)
    assert cosines.min() > 0.9
