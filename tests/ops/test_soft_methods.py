"""What every method of soft ranking, sorting, permuting and selecting does alike."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.modules import SoftRank, SoftSort, SoftTopK
from rankgrad.ops import hard_rank, soft_permutation, soft_permute, soft_rank, soft_sort, soft_top_k
from rankgrad.ops.soft_methods import PermutationMethod, RankMethod, SortMethod, TopKMethod

RANKS: tuple[Any, ...] = get_args(RankMethod)
SORTS: tuple[Any, ...] = get_args(SortMethod)
SELECTIONS: tuple[Any, ...] = get_args(TopKMethod)
PERMUTATIONS: tuple[Any, ...] = get_args(PermutationMethod)
OF_NETWORKS = {"network": {"distribution": "logistic"}}


def lists() -> tuple[Tensor, Tensor]:
    """Values at least 0.1 apart, a mask, and garbage behind it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, 9, generator=generator).argsort(dim=-1) / 10 - 0.3
    mask = torch.rand(3, 9, generator=generator) < 0.7
    return x.masked_fill(~mask, float("nan")), mask


def options_of(method: str) -> dict[str, Any]:
    return {"perturbed": {"samples": 5}, "gumbel": {"samples": 3}}.get(method, OF_NETWORKS.get(method, {}))


def sorted_by_torch(x: Tensor, mask: Tensor, *, descending: bool) -> Tensor:
    rows = [row[real].sort(descending=descending).values for row, real in zip(x, mask, strict=True)]
    return torch.stack([torch.cat([row, row.new_zeros(x.shape[1] - len(row))]) for row in rows])


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("method", RANKS)
def test_ranks_are_the_hard_ones_at_a_low_temperature(method: Any, descending: bool) -> None:
    x, mask = lists()
    found = soft_rank(x, temperature=1e-3, method=method, descending=descending, mask=mask, **options_of(method))
    assert_close(found, hard_rank(x, descending=descending, mask=mask))


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("method", SORTS)
def test_sorts_are_the_hard_ones_at_a_low_temperature(method: Any, descending: bool) -> None:
    x, mask = lists()
    found = soft_sort(x, temperature=1e-5, method=method, descending=descending, mask=mask, **options_of(method))
    assert_close(found, sorted_by_torch(x, mask, descending=descending), atol=1e-4, rtol=0)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("method", SELECTIONS)
def test_selections_are_the_hard_ones_at_a_low_temperature(method: Any, largest: bool) -> None:
    x, mask = lists()
    found = soft_top_k(x, 2, temperature=1e-4, method=method, largest=largest, mask=mask, **options_of(method))
    if method != "gumbel":
        ranks = hard_rank(x, descending=largest, mask=mask)
        assert_close(found, ((ranks > 0) & (ranks <= 2)).float())
    assert_close(found.sum(dim=-1), torch.full((3,), 2.0))


@pytest.mark.parametrize("method", [method for method in RANKS if method != "perturbed"])
def test_relative_ranks_do_not_see_scale_and_shift(method: Any) -> None:
    x, mask = lists()
    options = {"temperature": 0.3, "method": method, "relative": True, "mask": mask, **options_of(method)}
    assert_close(soft_rank(x, **options), soft_rank(40 * x - 7, **options), atol=1e-3, rtol=0)


@pytest.mark.parametrize("method", [method for method in SORTS if method != "perturbed"])
def test_relative_sorts_scale_with_their_list(method: Any) -> None:
    x, mask = lists()
    options = {"temperature": 0.3, "method": method, "relative": True, "mask": mask, **options_of(method)}
    assert_close(40 * soft_sort(x, **options), soft_sort(40 * x, **options), atol=1e-3, rtol=1e-4)


def test_straight_through_gives_the_hard_result_and_the_soft_gradient() -> None:
    x, mask = lists()
    x = x.requires_grad_()
    upstream = torch.linspace(-1, 1, 27).view(3, 9)
    for function, options, hard in (
        (soft_rank, {"temperature": 0.5}, hard_rank(x, mask=mask)),
        (soft_sort, {"temperature": 20.0}, sorted_by_torch(x, mask, descending=True)),
        (soft_top_k, {"k": 2, "temperature": 0.5}, ((hard_rank(x, mask=mask) - 1.5).abs() < 1).float()),
    ):
        soft, through = (
            function(x, mask=mask, straight_through=flag, **options)  # type: ignore[operator]
            for flag in (False, True)
        )
        assert torch.equal(through, hard)
        assert not torch.equal(soft, hard)
        gradients = [torch.autograd.grad(each, x, upstream)[0] for each in (soft, through)]
        assert torch.equal(*gradients)
        assert gradients[0].any()


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("method", PERMUTATIONS)
def test_permuting_is_the_product_with_the_matrix(method: Any, transpose: bool) -> None:
    x, mask = lists()
    options = {"temperature": 0.2, "method": method, "relative": True, "descending": False, "mask": mask}
    matrix = soft_permutation(x, **options)
    assert_close(matrix.sum(dim=-1), (torch.arange(9) < mask.sum(dim=-1, keepdim=True)).float())
    matrix = matrix.mT if transpose else matrix
    values = torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(1))
    expected = matrix @ values
    assert_close(soft_permute(x, values, transpose=transpose, **options), expected)
    assert_close(soft_permute(x, values[..., 0], transpose=transpose, **options), expected[..., 0])


@pytest.mark.parametrize("regularization", ["l2", "kl"])
@pytest.mark.parametrize("shape", [(9,), (4, 16), (3, 4, 7), (5, 40)])
@pytest.mark.parametrize("function", [soft_rank, soft_sort])
def test_isotonic_batches_agree_with_the_definition(function: Any, shape: tuple[int, ...], regularization: str) -> None:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(3)) < 0.8
    upstream = torch.randn(*shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    for each in (None, mask):
        options = {"temperature": 0.3, "method": "isotonic", "regularization": regularization, "mask": each}
        found, expected = (function(x, backend=backend, **options) for backend in ("auto", "reference"))
        assert_close(found, expected)
        assert_close(*(torch.autograd.grad(value, x, upstream)[0] for value in (found, expected)))


def test_k_and_temperature_of_a_selection_may_be_learnt() -> None:
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    k = torch.tensor([1.0, 2.5, 4.0], dtype=torch.float64, requires_grad=True)
    temperature = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert_close(soft_top_k(x, k, temperature=temperature).sum(dim=-1), k)
    assert torch.autograd.gradcheck(lambda x, k, t: soft_top_k(x, k, temperature=t), (x, k, temperature))


@pytest.mark.parametrize("method", [method for method in SELECTIONS if method != "neuralsort"])
def test_selecting_nothing_everything_and_more_than_there_is(method: Any) -> None:
    x, mask = lists()
    options = {"temperature": 0.5, "method": method, "mask": mask, **options_of(method)}
    assert torch.equal(soft_top_k(x, 0, **options), torch.zeros(3, 9))
    assert_close(soft_top_k(x, 9, **options), mask.float())


@pytest.mark.parametrize("module", [SoftRank(temperature=0.5, method="perturbed", samples=3)], ids=["soft_rank"])
def test_noise_comes_from_the_generator(module: SoftRank) -> None:
    x, mask = lists()

    def seeded(seed: int, function: Any, **options: Any) -> Tensor:
        return function(x, mask=mask, generator=torch.Generator().manual_seed(seed), temperature=0.5, **options)

    for function, options in (
        (soft_rank, {"method": "perturbed", "samples": 3}),
        (soft_sort, {"method": "perturbed", "samples": 3, "noise": "gumbel"}),
        (soft_top_k, {"method": "gumbel", "k": 2}),
    ):
        assert torch.equal(seeded(0, function, **options), seeded(0, function, **options))
        assert not torch.equal(seeded(0, function, **options), seeded(1, function, **options))
    assert module(x, mask=mask)[~mask].eq(0).all()


def test_modules_hold_their_options() -> None:
    x, mask = lists()
    options: dict[str, Any] = {"temperature": 0.4, "relative": True, "straight_through": True}
    assert torch.equal(SoftRank(method="laplace", **options)(x, mask=mask), hard_rank(x, mask=mask))
    expected = soft_sort(x, mask=mask, method="network", network="odd_even", temperature=0.4)
    assert torch.equal(SoftSort(method="network", network="odd_even", temperature=0.4)(x, mask=mask), expected)
    expected = soft_top_k(x, 3, mask=mask, largest=False, **options)
    assert torch.equal(SoftTopK(3, largest=False, **options)(x, mask=mask), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: soft_rank(x, temperature=1.0, method="sort"), 'one of "sigmoid", .*"perturbed", got'),
        (lambda x: soft_permutation(x, temperature=1.0, method="laplace"), 'one of "softsort", "neuralsort"'),
        (lambda x: soft_permutation(torch.ones(4097), temperature=1.0), "at most 4096 items, got 4097; .*soft_permute"),
        (lambda x: soft_permute(x, x[:2], temperature=1.0), r"values: expected shape \[4\] or \[4, 'dim'\], got \[2\]"),
        (lambda x: soft_permute(x, x[None, None], temperature=1.0), "values: expected shape"),
        (lambda x: soft_rank(x, temperature=1.0, method="sinkhorn", iterations=0.5), "iterations: expected a whole"),
        (lambda x: soft_rank(x, temperature=1.0, method="sinkhorn", tolerance=0.0), "tolerance: expected .* above 0"),
        (lambda x: soft_rank(x, temperature=1.0, method="network", network="shell"), 'network: expected one of "bit'),
        (lambda x: soft_rank(x, temperature=1.0, method="softsort", samples=3), "samples: not an option of"),
        (lambda x: soft_rank(x, temperature=1.0, method="blackbox", backend="triton"), "has no Triton kernel"),
        (lambda x: soft_top_k(x, 2, temperature=1.0, method="p_norm", backend="triton"), "has no Triton kernel"),
        (lambda x: soft_top_k(x, -1, temperature=1.0), "k: expected a number from 0 to the 4 items of a list, got -1"),
        (lambda x: soft_top_k(x, 5, temperature=1.0), "k: expected a number from 0 to the 4 items of a list, got 5"),
        (lambda x: soft_top_k(x, 1.5, temperature=1.0, method="gumbel"), "k: expected a whole number"),
        (lambda x: soft_top_k(x, 1.5, temperature=1.0, straight_through=True), "k: expected a whole number"),
        (lambda x: soft_top_k(x, torch.tensor(1.5), temperature=1.0, method="p_norm"), "k: expected a number, got a"),
        (
            lambda x: soft_top_k(x, 1, temperature=torch.tensor(1.0), method="p_norm"),
            "temperature: expected a number .*, got a tensor",
        ),
        (lambda x: soft_top_k(x, 1, temperature=-1.0), "temperature: expected a number above 0, got -1"),
        (lambda x: SoftTopK(2, temperature=0.0), "temperature: expected a number above 0"),
        (lambda x: soft_rank(x, temperature=1.0, method="laplace", mask=torch.ones(3).bool()), "mask: expected shape"),
    ],
)
def test_what_cannot_be_asked_is_named(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(torch.rand(4))


@pytest.mark.parametrize("method", [method for method in RANKS if method != "perturbed"])
def test_lists_of_none_one_and_equal_items(method: Any) -> None:
    options = {"temperature": 0.5, "method": method}
    assert soft_rank(torch.ones(2, 0), **options).shape == (2, 0)
    assert_close(soft_rank(torch.ones(2, 1), **options), torch.ones(2, 1))
    if method != "network":
        assert_close(soft_rank(torch.ones(1, 5), **options), torch.full((1, 5), 3.0))


def test_integers_are_refused() -> None:
    for function in (soft_rank, soft_sort, soft_permutation):
        with pytest.raises(TypeError, match="x: expected a floating-point tensor"):
            function(torch.tensor([1, 2]), temperature=1.0)
    with pytest.raises(TypeError, match="x: expected a floating-point tensor"):
        soft_top_k(torch.tensor([1, 2]), 1, temperature=1.0)
