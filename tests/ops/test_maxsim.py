"""MaxSim: the CPU path against the definition, and the rules for masks, empty sides and ties."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import maxsim
from rankgrad.ops.maxsim import cpu_blocks

LEADING = {"all_pairs": lambda q, n: (n,), "candidates": lambda q, n: (q, n), "pairs": lambda q, n: (q,)}
BACKENDS = ["auto", "triton", "reference"]
SIZES = [
    (3, 4, 5, 7, 8),
    (1, 1, 1, 1, 1),
    (2, 9, 3, 33, 5),
    (4, 0, 3, 4, 2),
    (0, 2, 3, 4, 2),
    (2, 3, 0, 4, 5),
    (2, 3, 4, 0, 5),
]


def operands(layout: str, q: int, n: int, lq: int, ld: int, dim: int, seed: int = 0) -> dict[str, Any]:
    """Random embeddings, weights and masks with holes; an empty document, an empty query, NaN at every masked token."""
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(q, lq, dim, generator=generator, dtype=torch.float64)
    documents = torch.randn(*LEADING[layout](q, n), ld, dim, generator=generator, dtype=torch.float64)
    query_mask = torch.rand(q, lq, generator=generator) < 0.7
    document_mask = torch.rand(documents.shape[:-1], generator=generator) < 0.6
    query_mask[-1:] = False
    document_mask.view(-1, max(ld, 1))[:1] = False
    queries[~query_mask], documents[~document_mask] = float("nan"), float("nan")
    weights = torch.randn(q, lq, generator=generator, dtype=torch.float64)
    return {
        "queries": queries,
        "documents": documents,
        "query_mask": query_mask,
        "document_mask": document_mask,
        "query_weights": weights,
    }


def expected_score(
    query: Tensor, document: Tensor, query_mask: Tensor, document_mask: Tensor, weights: Tensor
) -> float:
    if not query_mask.any():
        return 0.0
    if not document_mask.any():
        return float("-inf")
    tokens = [
        weight * max(float(token @ other) for other in document[document_mask])
        for token, weight in zip(query[query_mask], weights[query_mask].tolist(), strict=True)
    ]
    return sum(tokens)


def scores_and_gradients(layout: str, backend: str, **operands: Tensor) -> list[Tensor]:
    wanted = [operands[name].clone().requires_grad_() for name in ("queries", "documents", "query_weights")]
    queries, documents, weights = wanted
    masks = (operands["query_mask"], operands["document_mask"])
    options: dict[str, Any] = {"layout": layout, "reduction": "mean", "backend": backend}
    scores = maxsim(queries, documents, *masks, query_weights=weights, **options)
    upstream = torch.linspace(-1, 2, scores.numel(), dtype=scores.dtype).view(scores.shape)
    with torch.no_grad():
        assert_close(maxsim(queries, documents, *masks, query_weights=weights, **options), scores)
    return [scores.detach(), *torch.autograd.grad(scores, wanted, upstream)]


@pytest.mark.parametrize("layout", LEADING)
@pytest.mark.parametrize("backend", BACKENDS)
def test_definition(layout: Any, backend: Any) -> None:
    inputs = operands(layout, 3, 4, 5, 7, 8)
    if backend == "triton":
        inputs = {name: each.float() if each.is_floating_point() else each for name, each in inputs.items()}
    scores = maxsim(**inputs, layout=layout, backend=backend)
    for place in torch.cartesian_prod(*map(torch.arange, scores.shape)).view(-1, scores.dim()).tolist():
        query = place[0]
        document = {"all_pairs": place[1:], "candidates": place, "pairs": place}[layout]
        expected = expected_score(
            inputs["queries"][query],
            inputs["documents"][tuple(document)],
            inputs["query_mask"][query],
            inputs["document_mask"][tuple(document)],
            inputs["query_weights"][query],
        )
        assert float(scores[tuple(place)]) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("layout", LEADING)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("tile", [1, 200, 1 << 17])
def test_cpu_path_agrees_with_reference(
    layout: str, sizes: tuple[int, ...], tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_blocks, "TILE_ELEMENTS", tile)
    inputs = operands(layout, *sizes)
    assert_close(*(scores_and_gradients(layout, backend, **inputs) for backend in ("auto", "reference")))


@pytest.mark.usefixtures("nan_filled_memory")
def test_every_place_of_the_result_is_written() -> None:
    inputs = operands("all_pairs", 3, 6, 4, 9, 8)
    assert_close(*(scores_and_gradients("all_pairs", backend, **inputs) for backend in ("auto", "reference")))


@pytest.mark.parametrize("backend", BACKENDS)
def test_masked_token_never_beats_a_negative_similarity(backend: Any) -> None:
    """PyLate multiplied by 0, so that padding won over every negative similarity."""
    document = torch.tensor([[[-1.0, 0.0], [0.0, 0.0]]])
    mask = torch.tensor([[True, False]])
    assert_close(maxsim(torch.tensor([[[2.0, 0.0]]]), document, None, mask, backend=backend), torch.tensor([[-2.0]]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_knows_the_document_mask(backend: Any) -> None:
    """flash-maxsim ignored lengths in training: the winner must be a real token."""
    queries = torch.tensor([[[1.0, 0.0]]], requires_grad=True)
    documents = torch.tensor([[[-3.0, 1.0], [-2.0, 5.0], [9.0, 9.0]]], requires_grad=True)
    maxsim(queries, documents, None, torch.tensor([[True, True, False]]), backend=backend).sum().backward()
    assert_close(queries.grad, torch.tensor([[[-2.0, 5.0]]]))
    assert_close(documents.grad, torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_lowest_index_takes_the_gradient_of_a_tie(backend: Any) -> None:
    documents = torch.ones(1, 5, 2).requires_grad_()
    maxsim(torch.ones(1, 1, 2), documents, backend=backend).sum().backward()
    assert documents.grad is not None
    assert documents.grad[0, :, 0].tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_empty_document_is_last_whatever_the_weights(backend: Any, weight: float) -> None:
    queries, documents = torch.randn(1, 3, 4), torch.randn(2, 5, 4)
    mask = torch.tensor([[False] * 5, [True] * 5])
    scores = maxsim(queries, documents, None, mask, query_weights=torch.full((1, 3), weight), backend=backend)
    assert scores[0, 0] == float("-inf")
    assert scores[0, 1].isfinite()


def test_operands_of_different_precision() -> None:
    """An index in half precision, searched by a query in single precision."""
    queries, documents = torch.randn(2, 3, 8), torch.randn(4, 5, 8).half()
    scores = maxsim(queries, documents)
    assert scores.dtype == torch.float32
    assert_close(scores, maxsim(queries, documents.float()))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5), st.integers(1, 9), st.integers(0, 10_000))
def test_order_of_documents_and_of_their_tokens(q: int, n: int, lq: int, ld: int, seed: int) -> None:
    inputs = operands("all_pairs", q, n, lq, ld, 3, seed)
    documents, mask = inputs.pop("documents"), inputs.pop("document_mask")
    order, tokens = torch.randperm(n), torch.randperm(ld)
    scores = maxsim(**inputs, documents=documents, document_mask=mask)
    permuted = maxsim(**inputs, documents=documents[order][:, tokens], document_mask=mask[order][:, tokens])
    assert_close(permuted, scores[:, order])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": torch.ones(3, 4)}, r"queries: expected \[queries, tokens, dim\], got \[3, 4\]"),
        ({"documents": torch.ones(5, 6, 9)}, r"documents: .*got \[5, 6, 9\]"),
        ({"documents": torch.ones(2, 5, 6, 4)}, r'layout "all_pairs" expects \[documents, tokens, 4\]'),
        ({"layout": "pairs"}, r'expects 2, one for each query, got 5; layout="all_pairs"'),
        ({"layout": "grid"}, r"layout: expected"),
        ({"reduction": "max"}, r"reduction: expected"),
        ({"query_mask": torch.ones(2, 4, dtype=torch.bool)}, r"query_mask: expected shape \[2, 3\], got \[2, 4\]"),
        ({"document_mask": torch.ones(5, 7, dtype=torch.bool)}, r"document_mask: expected shape \[5, 6\]"),
        ({"query_weights": torch.ones(2)}, r"query_weights: expected \[2, 3\], got \[2\]"),
        ({"query_weights": torch.ones(3, 2)}, r"query_weights: expected \[2, 3\], got \[3, 2\]"),
        ({"backend": "cuda"}, r'backend: expected "auto", "triton" or "reference", got .cuda.'),
        ({"temperature": 0.0}, r"temperature: expected a number above 0, got 0.0"),
        ({"top_k": 0}, r"top_k: expected at least 1, got 0"),
        ({"top_k": 2, "temperature": 1.0}, r"temperature and top_k: one or the other"),
        ({"document_mask": torch.ones(5, 6, dtype=torch.bool, device="meta")}, r"document_mask: on meta while queries"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        maxsim(**{"queries": torch.ones(2, 3, 4), "documents": torch.ones(5, 6, 4), **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": torch.ones(2, 3, 4).long()}, r"queries: expected a floating-point tensor, got torch.int64"),
        ({"documents": torch.ones(5, 6, 4).char()}, r"documents: expected a floating-point tensor, got torch.int8"),
        ({"query_weights": torch.ones(2, 3).int()}, r"query_weights: expected a floating-point tensor"),
        ({"document_mask": torch.ones(5, 6)}, r"document_mask: expected bool .*convert it with .bool\(\)"),
    ],
)
def test_types_that_do_not_fit_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        maxsim(**{"queries": torch.ones(2, 3, 4), "documents": torch.ones(5, 6, 4), **changes})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", LEADING)
def test_soft_maximum_tends_to_the_maximum_from_above(layout: Any, backend: Any) -> None:
    """``max <= soft <= max + temperature * log(tokens)`` for a query token; weights of 1."""
    inputs = operands(layout, 3, 4, 5, 7, 8)
    given = {name: each.float().nan_to_num() for name, each in inputs.items() if name in ("queries", "documents")}
    hard = maxsim(**given, layout=layout, backend=backend)
    for temperature in (1.0, 0.1, 0.01):
        above = maxsim(**given, layout=layout, backend=backend, temperature=temperature) - hard
        assert (above >= -1e-4).all()
        assert (above <= 5 * temperature * torch.tensor(7.0).log() + 1e-4).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_mean_of_several_is_that_of_sorted_similarities(backend: Any) -> None:
    queries, documents = torch.randn(2, 3, 4), torch.randn(5, 6, 4)
    similarities = torch.einsum("qtd,nsd->qtns", queries, documents).sort(dim=-1, descending=True).values
    for k in (1, 2, 6, 9):
        expected = similarities[..., :k].mean(dim=-1).sum(dim=1)
        assert_close(maxsim(queries, documents, top_k=k, backend=backend), expected)
