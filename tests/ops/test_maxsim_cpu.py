"""MaxSim on a CPU against its definition: every layout and maximum, in tiles far smaller than the operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad.ops import maxsim
from rankgrad.ops.maxsim import cpu, cpu_blocks

MAXIMA = {"hard": {}, "top_k": {"top_k": 3}, "soft": {"temperature": 0.4}}
LAYOUTS = ("all_pairs", "candidates", "pairs")
TILES = {1: "tile of 1", 60: "tile of 60", None: "tile as shipped"}
SIDES = (("query",), ("document",), ("query", "document"))
# queries, documents, query tokens, document tokens, dim
SIZES = [
    (3, 4, 5, 7, 8),
    (1, 1, 1, 1, 1),
    (2, 9, 3, 33, 5),
    (5, 9, 17, 3, 3),
    (3, 10, 17, 7, 8),
    (2, 5, 15, 22, 31),
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
    return [scores.detach(), *torch.autograd.grad(scores, leaves, upstream)]


def assert_agree(inputs: dict[str, Any], **options: Any) -> None:
    """With the definition: scores, gradients, and the scores that are found where nothing is to be differentiated."""
    wanted = run(inputs, "reference", **options)
    for found, expected in zip(run(inputs, "auto", **options), wanted, strict=True):
        assert_close(found, expected, equal_nan=True)
    assert_close(maxsim(**inputs, **options), wanted[0], equal_nan=True)


def shrink(size: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles, runs and parts far smaller than shipped."""
    if size is not None:
        monkeypatch.setattr(cpu_blocks, "TILE_ELEMENTS", size)
        monkeypatch.setattr(cpu_blocks, "RUN_ROWS", size)
        monkeypatch.setattr(cpu_blocks, "_PART_ROWS", 6)
        monkeypatch.setattr(cpu_blocks, "CACHED_ELEMENTS", 0)
        monkeypatch.setattr(cpu, "_WHOLE_ROWS", 1)


@pytest.fixture(params=TILES, ids=TILES.get)
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(request.param, monkeypatch)


def squares() -> list[Any]:
    """Every size in every layout with every tile; maxima and packed sides take turns.

    With each layout every maximum meets every packed side, at a third of the sizes and in one of the tiles.
    """
    return [
        pytest.param(
            size,
            sizes,
            layout,
            list(MAXIMA)[(place + row + turn) % 3],
            SIDES[(place + 2 * row) % 3],
            id=f"{TILES[size]}-{sizes}-{layout}",
        )
        for turn, size in enumerate(TILES)
        for row, layout in enumerate(LAYOUTS)
        for place, sizes in enumerate(SIZES)
    ]


@pytest.mark.parametrize(("size", "sizes", "layout", "maximum", "sides"), squares())
def test_agrees_with_the_definition(
    size: int | None,
    sizes: tuple[int, ...],
    layout: str,
    maximum: str,
    sides: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shrink(size, monkeypatch)
    options = {"layout": layout, **MAXIMA[maximum]}
    padded = operands(layout, sizes)
    packed = padded
    for side in sides:
        packed = pack(packed, side)
    for inputs, bare in ((padded, ("query", "document")), (packed, sides)):
        given = spoil({name: tensor.clone() for name, tensor in inputs.items()})
        assert_agree(given, **options)
        without = {name: tensor for name, tensor in given.items() if name not in {f"{side}_mask" for side in bare}}
        for side in bare:
            without["queries" if side == "query" else "documents"].normal_()
        assert_agree(without, **options)


@pytest.mark.parametrize("maximum", MAXIMA)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_is_real(layout: str, maximum: str) -> None:
    inputs = operands(layout, (3, 4, 5, 7, 8))
    inputs["document_mask"] = torch.zeros_like(inputs["document_mask"])
    inputs["query_mask"][0] = True
    scores, *gradients = run(spoil(inputs), "auto", layout=layout, **MAXIMA[maximum])
    assert scores[0].eq(-torch.inf).all()
    assert scores[-1].eq(0).all()
    assert all(gradient.eq(0).all() for gradient in gradients)


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize("maximum", ["hard", "top_k"])
def test_of_equal_similarities_the_lowest_place_takes_the_gradient(maximum: str) -> None:
    """Whole numbers, so that equal similarities are equal in every order of summation."""
    inputs = operands("all_pairs", (3, 6, 4, 9, 3))
    for name in ("queries", "documents"):
        inputs[name] = torch.randint(-1, 2, inputs[name].shape).double()
    assert_agree(inputs, **MAXIMA[maximum])
    assert_agree(pack(inputs, "document"), **MAXIMA[maximum])


@pytest.mark.parametrize("maximum", MAXIMA)
def test_nan_of_a_real_token_reaches_scores_and_gradients(maximum: str) -> None:
    inputs = operands("all_pairs", (3, 4, 5, 7, 8))
    inputs["documents"][2, inputs["document_mask"][2].nonzero()[1]] = float("nan")
    assert_agree(inputs, **MAXIMA[maximum])
    assert maxsim(**inputs, **MAXIMA[maximum])[:2, 2].isnan().all()


def test_top_k_beyond_the_tokens_is_their_mean() -> None:
    inputs = operands("all_pairs", (2, 3, 4, 5, 6))
    assert_agree(spoil(inputs), top_k=9)


@pytest.mark.parametrize("maximum", MAXIMA)
@pytest.mark.parametrize("wanted", ["queries", "documents", "query_weights"])
def test_one_gradient_alone_is_the_same(wanted: str, maximum: str) -> None:
    inputs = operands("all_pairs", (3, 4, 5, 7, 8))
    place = ("queries", "documents", "query_weights").index(wanted) + 1
    expected = run(inputs, "auto", **MAXIMA[maximum])[place]
    leaf = inputs[wanted].clone().requires_grad_()
    scores = maxsim(**{**inputs, wanted: leaf}, **MAXIMA[maximum])
    upstream = torch.randn(scores.shape, generator=torch.Generator().manual_seed(7), dtype=scores.dtype)
    assert torch.equal(torch.autograd.grad(scores, leaf, upstream)[0], expected)


@pytest.mark.parametrize("maximum", MAXIMA)
@pytest.mark.parametrize("dtypes", [("float32", "bfloat16"), ("float16", "float32"), ("bfloat16", "bfloat16")])
def test_narrow_operands_are_multiplied_in_float32(dtypes: tuple[str, str], maximum: str) -> None:
    inputs = operands("all_pairs", (3, 9, 8, 20, 16), torch.float32)
    narrow = [
        inputs[name].to(getattr(torch, dtype)) for name, dtype in zip(("queries", "documents"), dtypes, strict=True)
    ]
    inputs["queries"], inputs["documents"] = narrow
    scores, *gradients = run(inputs, "auto", **MAXIMA[maximum])
    wide = {**inputs, "queries": narrow[0].float(), "documents": narrow[1].float()}
    expected, *wide_gradients = run(wide, "reference", **MAXIMA[maximum])
    assert_close(scores, expected)
    for gradient, wide_gradient, operand in zip(gradients, wide_gradients, [*narrow, scores], strict=True):
        assert gradient.dtype == operand.dtype
        assert_close(gradient, wide_gradient.to(operand.dtype))


def test_float64_where_one_operand_is() -> None:
    inputs = operands("all_pairs", (3, 4, 5, 7, 8))
    inputs["documents"] = inputs["documents"].float()
    scores, grad_queries, grad_documents, _ = run(inputs, "auto")
    assert (scores.dtype, grad_queries.dtype, grad_documents.dtype) == (torch.float64, torch.float64, torch.float32)
    assert_close(scores, maxsim(**{**inputs, "documents": inputs["documents"].double()}, backend="reference"))


@pytest.mark.parametrize("maximum", MAXIMA)
@pytest.mark.parametrize("kind", ["padded", "masked", "packed", "one long", "bfloat16"])
def test_no_tensor_is_much_larger_than_a_tile(
    kind: str, maximum: str, monkeypatch: pytest.MonkeyPatch, operators: Callable[[], Any]
) -> None:
    monkeypatch.setattr(cpu_blocks, "TILE_ELEMENTS", 1 << 10)
    queries = torch.randn(8, 8, 4, requires_grad=True)
    documents = torch.randn(*((1, 2000) if kind == "one long" else (200, 10)), 4)
    options = dict(MAXIMA[maximum])
    if kind == "masked":
        options["document_mask"] = torch.rand(200, 10) < 0.5
    elif kind == "packed":
        documents, options["document_cu_seqlens"] = documents.flatten(0, 1), torch.arange(0, 2001, 10).int()
    elif kind == "bfloat16":
        documents = documents.bfloat16()
    # What any implementation must hold: a gradient, or the residual.
    bound = max(documents.numel(), 200 * 64 * options.get("top_k", 1))
    documents.requires_grad_()
    with operators() as seen:
        maxsim(queries, documents, **options).sum().backward()
        with torch.no_grad():
            maxsim(queries, documents, **options)
    assert seen.largest <= bound < 64 * 2000


@pytest.mark.parametrize("maximum", MAXIMA)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_repeats_bit_for_bit(layout: str, maximum: str) -> None:
    inputs = pack(operands(layout, (6, 30, 20, 40, 16), torch.float32), "document")
    first, second = (run(inputs, "auto", layout=layout, **MAXIMA[maximum]) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("maximum", MAXIMA)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_place_of_new_memory_is_written(layout: str, maximum: str) -> None:
    inputs = spoil(operands(layout, (3, 40, 17, 7, 8)))
    assert_agree(inputs, layout=layout, **MAXIMA[maximum])
    assert_agree(spoil(pack(inputs, "document")), layout=layout, **MAXIMA[maximum])
