"""Every operator, loss and metric answers the same questions; the table is in ``conftest.py``."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.testing import assert_close

from rankgrad import losses, metrics, ops

NOT_OF_A_LIST = {
    metrics.wilcoxon_test,
    metrics.effect_size,
    metrics.bonferroni_correction,
    ops.ideal_order,
    metrics.bootstrap_interval,
    metrics.holm_correction,
    metrics.paired_t_test,
    metrics.randomization_test,
}


class NoNumbersFromTheHost(TorchFunctionMode):
    """Refuses tensors made of Python's numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.tensor, torch.as_tensor, Tensor.new_tensor), f"{func} copies {args[-1]}"
        return func(*args, **(kwargs or {}))


def value_and_grad(case: Any, x: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
    """The result, and the gradient of its product with a fixed upstream gradient."""
    x = x.detach().requires_grad_()
    value = case.call(x, *rest)
    upstream = torch.linspace(-1, 2, value.numel(), dtype=value.dtype).view(value.shape)
    return value.detach(), torch.autograd.grad(value, x, upstream)[0]


@pytest.mark.parametrize("module", [ops, metrics, losses], ids=lambda module: module.__name__)
def test_every_public_function_has_a_row(module: ModuleType, covered: set[Any]) -> None:
    functions = {getattr(module, name) for name in module.__all__ if inspect.isfunction(getattr(module, name))}
    assert functions - covered - NOT_OF_A_LIST == set()
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def test_leading_axes_are_batch(list_case: Any) -> None:
    inputs = list_case.inputs(2, 3)
    flat = list_case.call(*(tensor.flatten(0, 1) for tensor in inputs))
    single = torch.stack(
        [list_case.call(*row) for row in zip(*(tensor.flatten(0, 1) for tensor in inputs), strict=True)]
    )
    assert_close(list_case.call(*inputs).flatten(0, 1), flat)
    assert_close(flat, single)


def test_order_of_items_does_not_matter(unordered: Any) -> None:
    x, labels, mask = unordered.inputs()
    order = torch.randperm(labels.shape[-1], generator=torch.Generator().manual_seed(1))
    permuted = unordered.call(x.index_select(unordered.item_axis, order), labels[..., order], mask[..., order])
    expected = unordered.call(x, labels, mask)
    assert_close(permuted, expected[..., order] if unordered.per_item else expected)


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e9, -1e9])
def test_padding_changes_nothing(case: Any, garbage: float) -> None:
    x, labels, mask = case.inputs()
    items = labels.shape[-1]
    padding = x.narrow(case.item_axis, 0, 3)
    padded = (
        torch.cat([x, torch.full_like(padding, garbage)], dim=case.item_axis),
        torch.cat([labels, torch.full_like(labels[..., :3], 3)], dim=-1),
        torch.cat([mask, torch.zeros_like(mask[..., :3])], dim=-1),
    )
    expected = case.call(x, labels, mask)
    value = case.call(*padded)
    if case.per_item:
        assert (value[..., items:] == 0).all()
        value = value[..., :items]
    assert_close(value, expected)
    if case.differentiable and not case.per_item:
        gradient, expected_gradient = value_and_grad(case, *padded)[1], value_and_grad(case, x, labels, mask)[1]
        assert_close(gradient.narrow(case.item_axis, 0, items), expected_gradient)
        assert (gradient.narrow(case.item_axis, items, 3) == 0).all()


@pytest.mark.parametrize("garbage", [0.0, float("nan")])
def test_all_masked_list_is_finite_with_zero_gradient(case: Any, garbage: float) -> None:
    x, labels, mask = case.inputs()
    x, mask = x.clone(), mask.clone()
    x[2], mask[2] = garbage, False
    expected = torch.full_like(case.call(x, labels, mask)[2], case.all_masked)
    assert_close(case.call(x, labels, mask)[2], expected)
    if case.differentiable:
        gradient = value_and_grad(case, x, labels, mask)[1]
        assert (gradient[2] == 0).all()
        assert gradient.isfinite().all()


def test_nan_in_nan_out_and_no_further(case: Any) -> None:
    x, labels, mask = case.inputs()
    clean = case.call(x, labels, mask)
    x = x.clone()
    x[0, 2] = float("nan")
    value = case.call(x, labels, mask)
    assert value[0, 2].isnan() if case.per_item else value[0].isnan()
    assert_close(value[1:], clean[1:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_accumulates_in_float32_or_better(case: Any, dtype: torch.dtype) -> None:
    if dtype == torch.float64 and not case.float64:
        with pytest.raises(ValueError, match="accumulate in float32"):
            case.call(*case.inputs(dtype=dtype))
        return
    x, labels, mask = case.inputs(dtype=dtype)
    wide = torch.promote_types(dtype, torch.float32)
    value = case.call(x, labels, mask)
    assert value.dtype == wide
    assert_close(value, case.call(x.to(wide), labels, mask))
    if case.differentiable:
        gradient = value_and_grad(case, x, labels, mask)[1]
        expected = value_and_grad(case, x.to(wide), labels, mask)[1].to(dtype)
        # Kernels round each token's share of a gradient to the operand's type, which tensor cores multiply.
        rounding = {} if case.float64 or dtype == wide else dict.fromkeys(("rtol", "atol"), 2 * torch.finfo(dtype).eps)
        assert_close(gradient, expected, **rounding)


def test_autocast_does_not_lower_the_precision(case: Any) -> None:
    x, *rest = case.inputs()
    x.requires_grad_(case.differentiable)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = case.call(x, *rest)
    assert_close(value, case.call(x, *rest))
    if case.differentiable:
        assert_close(*(torch.autograd.grad(result.sum(), x)[0] for result in (value, case.call(x, *rest))))


def test_gradient_is_the_derivative(double: Any) -> None:
    x, labels, mask = double.inputs(6, items=5, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: double.call(x, labels, mask), x.requires_grad_(), check_undefined_grad=False
    )


def test_strides_do_not_matter(case: Any) -> None:
    inputs = case.inputs()
    strided = [tensor.movedim(0, -1).contiguous().movedim(-1, 0) for tensor in inputs]
    assert not strided[0].is_contiguous()
    assert_close(case.call(*strided), case.call(*inputs))
    if case.differentiable:
        assert_close(value_and_grad(case, *strided)[1], value_and_grad(case, *inputs)[1])


def test_compiles_without_a_graph_break(static: Any) -> None:
    inputs = static.inputs()
    torch.compiler.reset()
    compiled = torch.compile(static.call, fullgraph=True, backend="aot_eager")
    if not static.differentiable:
        assert_close(compiled(*inputs), static.call(*inputs))
        return
    x = inputs[0].requires_grad_()
    value, expected = compiled(x, *inputs[1:]), static.call(x, *inputs[1:])
    assert_close(value, expected)
    assert_close(*(torch.autograd.grad(result.sum(), x)[0] for result in (value, expected)))


def test_helper_tensors_live_where_the_inputs_do_and_nothing_is_read_back(static: Any) -> None:
    """A tensor left on the CPU, or a value read on the host, would fail on the meta device.

    Lists would be copied there, which waits for a GPU and which CUDA graphs refuse.
    """
    inputs = static.inputs()
    expected = static.call(*inputs)
    with NoNumbersFromTheHost():
        value = static.call(*(tensor.to("meta") for tensor in inputs))
    assert (value.device.type, value.shape, value.dtype) == ("meta", expected.shape, expected.dtype)


def test_reductions(reducing: Any) -> None:
    x, labels, mask = reducing.inputs()
    mask = mask.clone()
    mask[-1] = False
    values = reducing.call(x, labels, mask, reduction="none")
    assert values.shape == labels.shape[:-1]
    assert_close(reducing.call(x, labels, mask, reduction="sum"), values.sum())
    assert_close(reducing.call(x, labels, mask, reduction="mean"), values.sum() / (len(x) - 1))
    nothing = reducing.call(x, labels, torch.zeros_like(mask), reduction="mean")
    assert_close(nothing, torch.tensor(0.0))


def test_backward_of_unreduced_values(reducing: Any) -> None:
    """Each list's gradient is that of its own value, scaled by its upstream gradient."""
    x, labels, mask = reducing.inputs()
    x.requires_grad_()
    upstream = torch.linspace(-1, 2, len(x))
    whole = torch.autograd.grad(reducing.call(x, labels, mask, reduction="none"), x, upstream)[0]
    for row, factor in enumerate(upstream):
        value = reducing.call(x[row], labels[row], mask[row], reduction="sum")
        assert_close(whole[row], factor * torch.autograd.grad(value, x)[0][row])


def test_shapes_and_types_are_checked(list_case: Any) -> None:
    x, labels, mask = list_case.inputs()
    with pytest.raises(ValueError, match=r"(mask|labels|shape)"):
        list_case.call(x, labels, mask[..., :-1])
    with pytest.raises(TypeError, match=r"expected bool .*\.bool\(\)"):
        list_case.call(x, labels, mask.float())
    with pytest.raises(TypeError, match=r"floating-point"):
        list_case.call(x.long(), labels, mask)


def test_operands_on_two_devices_are_refused(list_case: Any) -> None:
    x, labels, mask = list_case.inputs()
    with pytest.raises(ValueError, match=r'expected on cpu, where .*, got it on meta; move it with \.to\("cpu"\)'):
        list_case.call(x, labels, mask.to("meta"))
    # The row of lcron_loss makes scores of its labels.
    if "labels" in inspect.signature(list_case.covers).parameters and list_case.covers is not losses.lcron_loss:
        with pytest.raises(ValueError, match=r'labels: expected on cpu, where .*\.to\("cpu"\)'):
            list_case.call(x, labels.to("meta"), mask)
