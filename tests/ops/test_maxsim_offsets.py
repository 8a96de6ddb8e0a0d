"""Packed rows that offsets leave to nobody, bounds that do not hold, and operands whose neighbours lie apart.

On a CPU such offsets are refused. On a device nobody looks at them; here the check is taken away to see the same.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import Int8Tokens, maxsim, maxsim_quantised
from rankgrad.ops.maxsim import api, launch, library
from rankgrad.ops.maxsim.operands import problem_of

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BACKENDS = ["auto", "triton", "reference"]
# Kernels take tensors of a CPU only where triton interprets them.
ON_CPU = BACKENDS if DEVICE == "cpu" else ["auto", "reference"]
UNCHECKED = ["triton", "reference"]
MAXIMA: list[dict[str, Any]] = [{}, {"temperature": 0.5}, {"top_k": 2}]
BEFORE, AFTER = 2, 3
ENDS = torch.tensor([0, 3, 3, 20, 24], dtype=torch.int32)
ROWS = int(ENDS[-1])


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets are not looked at, as on a device."""
    for module in (api, library):
        monkeypatch.setattr(module, "check_offsets", lambda *_: None)


def value_and_gradients(
    queries: Tensor, documents: Tensor, weights: Tensor, *, backend: Any, **options: Any
) -> list[Tensor]:
    """By a CPU's path for "auto", else on the device."""
    device = "cpu" if backend == "auto" else DEVICE
    leaves = [each.detach().to(device, copy=True).requires_grad_() for each in (queries, documents, weights)]
    options = {name: each.to(device) if isinstance(each, Tensor) else each for name, each in options.items()}
    scores = maxsim(*leaves[:2], query_weights=leaves[2], backend=backend, **options)
    upstream = torch.linspace(-1, 2, scores.numel()).sin().view(scores.shape).to(device)
    return [each.cpu() for each in (scores.detach(), *torch.autograd.grad(scores, leaves, upstream))]


@pytest.mark.usefixtures("unchecked", "nan_filled_memory")
@pytest.mark.parametrize("backend", UNCHECKED)
@pytest.mark.parametrize(
    ("layout", "maxima", "masked"),
    [
        ("all_pairs", {}, False),
        ("all_pairs", {"temperature": 0.5}, True),
        ("candidates", {"top_k": 2}, True),
        ("pairs", {"temperature": 0.5}, False),
    ],
)
def test_query_rows_of_nobody_count_for_nothing(layout: Any, maxima: Any, backend: Any, masked: bool) -> None:
    queries, weights = torch.randn(ROWS, 8), torch.randn(ROWS)
    documents = torch.randn({"all_pairs": (2, 7, 8), "candidates": (4, 2, 7, 8), "pairs": (4, 7, 8)}[layout])
    mask = torch.rand(ROWS) < 0.7 if masked else None
    options = {"layout": layout, "reduction": "mean", **maxima}
    expected = value_and_gradients(
        queries, documents, weights, query_mask=mask, query_cu_seqlens=ENDS, backend="auto", **options
    )
    around = (BEFORE, AFTER)
    found = value_and_gradients(
        pad(queries, (0, 0, *around), value=float("nan")),
        documents,
        pad(weights, around, value=float("nan")),
        query_mask=None if mask is None else pad(mask, around, value=True),
        query_cu_seqlens=ENDS + BEFORE,
        backend=backend,
        **options,
    )
    expected[1], expected[3] = pad(expected[1], (0, 0, *around)), pad(expected[3], around)
    assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("unchecked", "nan_filled_memory")
@pytest.mark.parametrize("backend", UNCHECKED)
@pytest.mark.parametrize(
    ("layout", "maxima"), [("all_pairs", {"top_k": 2}), ("candidates", {}), ("candidates", {"temperature": 0.5})]
)
def test_document_rows_of_nobody_count_for_nothing(layout: Any, maxima: dict[str, Any], backend: Any) -> None:
    queries, documents, weights = torch.randn(2, 3, 8), torch.randn(ROWS, 8), torch.randn(2, 3)
    options = {"layout": layout, **maxima}
    expected = value_and_gradients(queries, documents, weights, document_cu_seqlens=ENDS, backend="auto", **options)
    around = pad(documents, (0, 0, BEFORE, AFTER), value=float("nan"))
    found = value_and_gradients(queries, around, weights, document_cu_seqlens=ENDS + BEFORE, backend=backend, **options)
    expected[2] = pad(expected[2], (0, 0, BEFORE, AFTER))
    assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("unchecked", "nan_filled_memory")
@pytest.mark.parametrize("maxima", MAXIMA, ids=str)
def test_tokens_beyond_a_bound_that_does_not_hold_are_left_out(maxima: dict[str, Any]) -> None:
    """16 rows are the fewest that a program holds."""
    queries, documents, weights = torch.randn(ROWS, 8), torch.randn(2, 7, 8), torch.randn(ROWS)
    within = torch.ones(ROWS, dtype=torch.bool)
    within[19] = False
    expected = value_and_gradients(
        queries, documents, weights, query_mask=within, query_cu_seqlens=ENDS, backend="reference", **maxima
    )
    found = value_and_gradients(
        queries, documents, weights, query_cu_seqlens=ENDS, max_query_tokens=16, backend="triton", **maxima
    )
    assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_tiles_of_falling_offsets_lie_in_their_documents() -> None:
    offsets = torch.tensor([0, 100, 10, 60], dtype=torch.int32)
    problem = problem_of(
        torch.randn(1, 2, 8), torch.randn(100, 8), None, None, None, None, offsets,
        layout="all_pairs", max_query_tokens=None, temperature=0.0, top_k=1, tf32=False,
    )  # fmt: skip
    document, first, _ = launch._document_tiles(problem, 32)
    assert document is not None
    assert first is not None
    assert list(zip(document.tolist(), first.tolist(), strict=True)) == [
        *((0, place) for place in (0, 32, 64, 96)), (2, 0), (2, 32)
    ]  # fmt: skip


def test_places_beyond_the_documents_are_not_read() -> None:
    """As of a row with the places of one query and the documents of another."""
    documents = torch.randn(4, 8, device=DEVICE)
    problem = problem_of(
        torch.randn(2, 8, device=DEVICE), documents, None, None, None,
        torch.tensor([0, 1, 2], device=DEVICE), torch.tensor([0, 3, 4], device=DEVICE),
        layout="pairs", max_query_tokens=None, temperature=0.0, top_k=1, tf32=False,
    )  # fmt: skip
    residual = torch.tensor([[[2, 1 << 20]]], dtype=torch.int32, device=DEVICE)
    upstream = torch.ones(2, 1, device=DEVICE)
    found = launch.backward(problem, upstream, residual, queries=True, documents=False, weights=False)[0]
    assert found is not None
    assert_close(found, torch.stack([documents[2], torch.zeros_like(documents[2])]))


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_cu_seqlens": torch.tensor([1, 6])}, r"query_cu_seqlens: expected to go from 0 to 6, .*got 1 to 6"),
        ({"query_cu_seqlens": torch.tensor([0, 5])}, r"query_cu_seqlens: expected to go from 0 to 6, .*got 0 to 5"),
        ({"query_cu_seqlens": torch.tensor([0])}, r"query_cu_seqlens: expected \[queries \+ 1\], got \[1\], .* 6 rows"),
        ({"max_query_tokens": 0}, r"max_query_tokens: expected at least 1, got 0"),
        ({"max_query_tokens": 3}, r"max_query_tokens: expected at least the tokens .*got 3 where query 1 has 4"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], message: str, backend: Any) -> None:
    fitting = {"query_cu_seqlens": torch.tensor([0, 2, 6]), "max_query_tokens": 4}
    maxsim(torch.ones(6, 4), torch.ones(2, 3, 4), backend=backend, **fitting)
    with pytest.raises(InputError, match=message):
        maxsim(torch.ones(6, 4), torch.ones(2, 3, 4), backend=backend, **{**fitting, **changes})


@pytest.mark.parametrize("backend", BACKENDS)
def test_offsets_may_lie_apart(backend: Any) -> None:
    apart = torch.stack([ENDS, ENDS + 100], dim=1).to(DEVICE).flatten()[::2]
    queries, documents, weights = torch.randn(ROWS, 8), torch.randn(ROWS, 8), torch.randn(ROWS)
    assert not apart.is_contiguous()
    found = value_and_gradients(
        queries, documents, weights, query_cu_seqlens=apart, document_cu_seqlens=apart, backend=backend
    )
    expected = value_and_gradients(
        queries, documents, weights, query_cu_seqlens=ENDS, document_cu_seqlens=ENDS, backend="reference"
    )
    assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("maxima", MAXIMA, ids=str)
def test_one_weight_for_all_rows(maxima: dict[str, Any]) -> None:
    """Its place in memory is every row's."""
    queries, documents = torch.randn(2, 5, 8, device=DEVICE), torch.randn(3, 7, 8, device=DEVICE)
    gradients = [
        torch.autograd.grad(maxsim(each, documents, query_weights=weights, backend="triton", **maxima).sum(), each)
        for each in [queries.requires_grad_()]
        for weights in (torch.tensor(0.5, device=DEVICE).expand(2, 5), torch.full((2, 5), 0.5, device=DEVICE))
    ]
    assert_close(*gradients)


@pytest.mark.parametrize("backend", ["auto", "triton"])
def test_quantised_documents_with_offsets_apart(backend: Any) -> None:
    queries, codes = torch.randn(2, 3, 8), torch.randint(-127, 128, (ROWS, 8), dtype=torch.int8)
    documents = Int8Tokens(codes.to(DEVICE), torch.rand(ROWS, device=DEVICE))
    apart = torch.stack([ENDS, ENDS + 100], dim=1).to(DEVICE).flatten()[::2]
    queries, ends = queries.to(DEVICE), ENDS.to(DEVICE)
    scores = maxsim_quantised(queries, documents, document_cu_seqlens=apart, backend=backend)
    assert_close(scores, maxsim_quantised(queries, documents, document_cu_seqlens=ends, backend=backend))
