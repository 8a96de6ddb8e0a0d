"""MaxSim on a CPU of what fits one product: the definition's scores, and only where nothing stands against it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import maxsim
from rankgrad.ops.maxsim import api, cpu, cpu_blocks, cpu_small


def pair(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    return torch.randn(3, 4, 8, dtype=dtype), torch.randn(5, 7, 8, dtype=dtype)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who took one product: the operator before its checks, or its implementation."""
    taken: list[str] = []
    for module in (api, cpu_small):
        before = module.small_scores
        name = module.__name__.rpartition(".")[2]

        def counted(queries: Tensor, documents: Tensor, before: Any = before, name: str = name) -> Tensor:
            taken.append(name)
            return before(queries, documents)

        monkeypatch.setattr(module, "small_scores", counted)
    return taken


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1), (1, 100, 4, 9, 16), (4, 3, 5, 7, 8)], ids=str)
def test_is_the_definition(sizes: tuple[int, ...], dtype: torch.dtype, short: list[str]) -> None:
    count, others, query_tokens, tokens, dim = sizes
    queries = torch.randn(count, query_tokens, dim, dtype=dtype)
    documents = torch.randn(others, tokens, dim, dtype=dtype)
    scores = maxsim(queries, documents)
    assert short == ["api"]
    assert scores.is_contiguous()
    assert_close(scores, maxsim(queries, documents, backend="reference"))


def test_operands_need_not_be_contiguous(short: list[str]) -> None:
    queries, documents = torch.randn(8, 3, 4).permute(1, 2, 0), torch.randn(7, 5, 16)[..., ::2].transpose(0, 1)
    assert_close(maxsim(queries, documents), maxsim(queries, documents, backend="reference"))
    assert short == ["api"]


@pytest.mark.parametrize("tile", [140, 150, 170])
def test_documents_that_exceed_a_tile_are_taken_some_at_a_time(
    tile: int, short: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three or four of five documents; the similarities of all are in the limit, or nothing would be small."""
    queries, documents = torch.randn(1, 4, 8), torch.randn(7, 5, 16)[..., ::2].transpose(0, 1)
    monkeypatch.setattr(cpu_blocks, "TILE_ELEMENTS", tile)
    documents[1, 2] = float("nan")
    scores = maxsim(queries, documents)
    assert short == ["api"]
    assert_close(scores, maxsim(queries, documents, backend="reference"), equal_nan=True)


def test_nan_reaches_the_scores(short: list[str]) -> None:
    queries, documents = pair()
    documents[2, 3] = float("nan")
    scores = maxsim(queries, documents)
    assert short == ["api"]
    assert torch.equal(scores.isnan(), torch.arange(5).eq(2).expand(3, 5))


def test_a_mean_is_taken_of_one_product_too(short: list[str]) -> None:
    queries, documents = pair()
    assert_close(maxsim(queries, documents, reduction="mean"), maxsim(queries, documents) / 4)
    assert short == ["cpu_small", "api"]


@pytest.mark.parametrize(
    "options",
    [
        {"query_mask": torch.ones(3, 4, dtype=torch.bool)},
        {"document_mask": torch.ones(5, 7, dtype=torch.bool)},
        {"query_weights": torch.ones(3, 4)},
        {"temperature": 1e-9},
        {"top_k": 2},
        {"backend": "reference"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_go_the_long_way(options: dict[str, Any], short: list[str]) -> None:
    queries, documents = pair()
    scores = maxsim(queries, documents, **options)
    assert short == []
    if "top_k" not in options:
        assert_close(scores, maxsim(queries, documents))


def test_what_is_differentiated_or_wide_goes_the_long_way(short: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    queries, documents = pair()
    expected = maxsim(queries, documents, backend="reference")
    for leaf in (queries, documents):
        leaf.requires_grad_()
        maxsim(queries, documents).sum().backward()
        assert leaf.grad is not None
        assert leaf.grad.shape == leaf.shape
        leaf.requires_grad_(False)
    maxsim(queries.bfloat16(), documents.bfloat16())
    maxsim(queries, documents.double())
    monkeypatch.setattr(cpu_blocks, "CACHED_ELEMENTS", documents.numel() - 1)
    assert_close(maxsim(queries, documents), expected)
    assert short == []


def test_autocast_lowers_nothing(short: list[str]) -> None:
    queries, documents = pair()
    with torch.autocast("cpu", torch.bfloat16):
        scores = maxsim(queries, documents)
    assert short == ["cpu_small"]
    assert_close(scores, maxsim(queries, documents, backend="reference"))


@pytest.mark.parametrize(
    ("queries", "documents"), [((0, 4, 8), (5, 7, 8)), ((3, 4, 8), (0, 7, 8)), ((3, 4, 0), (5, 7, 0))]
)
def test_nothing_goes_the_long_way(queries: tuple[int, ...], documents: tuple[int, ...], short: list[str]) -> None:
    assert maxsim(torch.ones(queries), torch.ones(documents)).shape == (queries[0], documents[0])
    assert short == []


@pytest.mark.parametrize(
    ("queries", "documents", "error", "message"),
    [
        (torch.ones(4, 8), torch.ones(5, 7, 8), InputError, r"queries: expected \[queries, tokens, dim\]"),
        (torch.ones(3, 4, 8), torch.ones(5, 7, 9), InputError, r"documents: layout \"all_pairs\" expects"),
        (torch.ones(3, 4, 8), torch.ones(7, 8), InputError, r"documents: layout \"all_pairs\" expects"),
        (torch.ones(3, 4, 8).int(), torch.ones(5, 7, 8).int(), TypeError, "queries: expected a floating-point"),
        (torch.ones(3, 4, 8), torch.ones(5, 7, 8, device="meta"), InputError, "documents: on meta while"),
    ],
)
def test_errors_are_those_of_the_checks(queries: Tensor, documents: Tensor, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        maxsim(queries, documents)


def test_compiled_it_is_still_one_product(short: list[str]) -> None:
    """The operator's implementation takes it, so that it need not be traced."""
    queries, documents = pair()
    compiled = torch.compile(maxsim, backend="eager", fullgraph=True)
    assert_close(compiled(queries, documents), maxsim(queries, documents, backend="reference"))
    assert short == ["cpu_small"]


def test_the_implementation_keeps_no_residual_of_it() -> None:
    queries, documents = pair()
    problem = api.problem_of(
        queries, documents, None, None, None, None, None,
        layout="all_pairs", max_query_tokens=None, temperature=0.0, top_k=1, tf32=False,
    )  # fmt: skip
    scores, residual = cpu.forward(problem, keep=False)
    assert residual.numel() == 0
    assert_close(scores, cpu.forward(problem, keep=True)[0])
