"""float16 operands under gradients that float16 does not hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from rankgrad.ops import maxsim
from rankgrad.ops.maxsim.half_range import within_half

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MAXIMA: list[dict[str, Any]] = [{}, {"temperature": 0.2}, {"top_k": 3}]
HALF = torch.finfo(torch.float16)


# What the operands are multiplied with brings gradients themselves back to where float16 holds them.
@pytest.mark.parametrize(("upstream", "size"), [(2.0**18, 2.0**-12), (1e-9, 2.0**15), (1.0, 1.0)])
@pytest.mark.parametrize("maxima", MAXIMA, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_are_those_of_float32(upstream: float, size: float, maxima: dict[str, Any], weighted: bool) -> None:
    operands = [torch.nn.functional.normalize(torch.randn(shape), dim=-1) for shape in ((2, 6, 16), (3, 10, 16))]
    options = {name: value * size**2 if name == "temperature" else value for name, value in maxima.items()}
    if weighted:
        options["query_weights"] = (torch.rand(2, 6) * 16).to(DEVICE)
        upstream /= 16
    gradients = torch.linspace(-1, 2, 6, device=DEVICE).sin().view(2, 3) * upstream
    narrow = [(each * size).half().to(DEVICE).requires_grad_() for each in operands]
    wide = [each.detach().float().requires_grad_() for each in narrow]
    found = torch.autograd.grad(maxsim(*narrow, backend="triton", **options), narrow, gradients)
    expected = torch.autograd.grad(maxsim(*wide, backend="reference", **options), wide, gradients)
    for each, exact in zip(found, expected, strict=True):
        assert each.dtype == torch.float16
        assert exact.abs().max() > 50 * HALF.smallest_normal * HALF.eps
        atol = 2 * HALF.eps * float(exact.abs().max()) + HALF.smallest_normal * HALF.eps
        assert_close(each.float(), exact, rtol=2 * HALF.eps, atol=atol)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_an_infinite_gradient_leaves_the_others_their_digits() -> None:
    queries = torch.eye(2, 16, device=DEVICE).half().unsqueeze(1)
    documents = torch.ones(2, 1, 16, device=DEVICE).half().requires_grad_()
    upstream = torch.tensor([[float("inf"), 3e-9], [0.0, 2.0**16]], device=DEVICE)
    (gradient,) = torch.autograd.grad(maxsim(queries / 2**6, documents, backend="triton"), documents, upstream)
    assert gradient[0, 0, 0].isinf()
    assert gradient[1, 0, 1] == 2.0**10


@pytest.mark.parametrize("peak", [0.0, 1e-45, 1e-30, 1e-9, 1.0, 65536.0, 3e38])
@pytest.mark.parametrize("factor", [1.0, 1e-5, 300.0])
def test_the_largest_of_a_row_is_brought_near_the_end_of_the_range(peak: float, factor: float) -> None:
    gradients = torch.tensor([[peak, -peak / 8, float("nan")], [float("-inf"), 0.0, 0.0]])
    scale = torch.tensor([0.0, -factor, factor / 2, 0.0])
    owner = torch.tensor([1, 0, 0, 1], dtype=torch.int32)
    for row_scale, largest in ((None, peak), (scale, peak * factor)):
        if largest > 3e38:
            continue
        scaled, back = within_half(gradients, owner, row_scale)
        assert torch.frexp(back).mantissa == 0.5
        assert_close(scaled * back, gradients, rtol=0, atol=0, equal_nan=True)
        assert largest < 1e-30 or 2**14 <= largest / float(back) < 2**15
