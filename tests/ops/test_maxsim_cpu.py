"""MaxSim on a CPU against its definition: every layout and maximum, in tiles far smaller than the operands."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad.ops import maxsim
from rankgrad.ops.maxsim import cpu_blocks

MAXIMA = {"hard": {}, "top_k": {"top_k": 3}, "soft": {"temperature": 0.4}}
LAYOUTS = ("all_pairs", "candidates", "pairs")
# queries, documents, query tokens, document tokens, dim
SIZES = [
    (3, 4, 5, 7, 8),
    (1, 1, 1, 1, 1),
    (2, 9, 3, 33, 5),
    (5, 40, 17, 3, 3),
    (4, 0, 3, 4, 2),
    (0, 2, 3, 4, 2),
    (2, 3, 0, 4, 5),
    (2, 3, 4, 0, 5),
    (2, 3, 4, 5, 0),
]


def operands(layout: str, sizes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """Random embeddings and weights, masks with holes, an empty document and an empty query."""
    q, n, lq, ld, dim = sizes
    leading = {"all_pairs": (n,), "candidates": (q, n), "pairs": (q,)}[layout]
    queries = torch.randn(q, lq, dim, dtype=dtype)
    documents = torch.randn(*leading, ld, dim, dtype=dtype)
    query_mask, document_mask = torch.rand(q, lq) < 0.7, torch.rand(*leading, ld) < 0.6
    query_mask[-1:] = False
    document_mask.view(-1, max(ld, 1))[:1] = False
    return {
        "queries": queries,
        "documents": documents,
        "query_mask": query_mask,
        "document_mask": document_mask,
        "query_weights": torch.randn(q, lq, dtype=dtype),
    }


def spoil(inputs: dict[str, Any]) -> dict[str, Any]:
    """NaN in every masked token."""
    for name in ("query", "document"):
        embeddings = inputs["queries" if name == "query" else "documents"]
        embeddings[~inputs[f"{name}_mask"]] = float("nan")
    return inputs


def pack(inputs: dict[str, Any], side: str) -> dict[str, Any]:
    """One side packed, at lengths of every kind; its masks become lengths, and every third token is masked."""
    name = "queries" if side == "query" else "documents"
    embeddings, mask = inputs[name].flatten(0, -3), inputs[f"{side}_mask"].flatten(0, -2)
    offsets = torch.nn.functional.pad(mask.sum(-1).cumsum(0), (1, 0)).int()
    packed = {**inputs, name: embeddings[mask], f"{side}_cu_seqlens": offsets}
    packed[f"{side}_mask"] = torch.arange(packed[name].shape[0]) % 3 != 1
    if side == "query":
        packed["query_weights"] = inputs["query_weights"][inputs["query_mask"]]
    return packed


def run(inputs: dict[str, Any], backend: str, **options: Any) -> list[Tensor]:
    """Scores, then the gradients of queries, documents and weights for a random upstream gradient."""
    wanted = {name: inputs[name].detach().clone() for name in ("queries", "documents", "query_weights")}
    leaves = [leaf.requires_grad_() for leaf in wanted.values()]
    scores = maxsim(**{**inputs, **wanted}, backend=backend, **options)  # type: ignore[arg-type]
    upstream = torch.randn(scores.shape, generator=torch.Generator().manual_seed(7), dtype=scores.dtype)
    upstream[scores.isneginf()] = 0.5
    return [scores.detach(), *torch.autograd.grad(scores, leaves, upstream)]


def assert_agree(inputs: dict[str, Any], **options: Any) -> None:
    for found, wanted in zip(run(inputs, "auto", **options), run(inputs, "reference", **options), strict=True):
        assert_close(found, wanted, equal_nan=True)


@pytest.fixture(params=[1, 60, None], ids=["tile of 1", "tile of 60", "tile as shipped"])
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param is not None:
        monkeypatch.setattr(cpu_blocks, "TILE_ELEMENTS", request.param)
        monkeypatch.setattr(cpu_blocks, "_PART_ROWS", 6)


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize("maximum", MAXIMA)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_padded_agrees_with_the_definition(sizes: tuple[int, ...], layout: str, maximum: str) -> None:
    inputs = spoil(operands(layout, sizes))
    assert_agree(inputs, layout=layout, **MAXIMA[maximum])
    del inputs["document_mask"], inputs["query_mask"]
    assert_agree({name: torch.randn_like(tensor) for name, tensor in inputs.items()}, layout=layout, **MAXIMA[maximum])


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize("sides", [("query",), ("document",), ("query", "document")], ids="+".join)
@pytest.mark.parametrize("maximum", MAXIMA)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_packed_agrees_with_the_definition(
    sizes: tuple[int, ...], layout: str, maximum: str, sides: tuple[str, ...]
) -> None:
    inputs = operands(layout, sizes)
    for side in sides:
        inputs = pack(inputs, side)
    inputs = spoil(inputs)
    assert_agree(inputs, layout=layout, **MAXIMA[maximum])
    without = {name: tensor for name, tensor in inputs.items() if not any(name == f"{side}_mask" for side in sides)}
    for side in sides:
        without["queries" if side == "query" else "documents"].normal_()
    assert_agree(without, layout=layout, **MAXIMA[maximum])
