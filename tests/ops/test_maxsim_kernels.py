"""The Triton kernels, run by triton's interpreter on a CPU, against the definition; and the operators around them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.modules import MaxSim
from rankgrad.ops import maxsim
from rankgrad.ops.maxsim import library
from rankgrad.ops.maxsim.operands import problem_of

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

MAXIMA: dict[str, dict[str, Any]] = {"hard": {}, "top_k": {"top_k": 3}, "soft": {"temperature": 0.2}}
# queries, documents, query tokens, document tokens, width
SIZES = [(3, 4, 5, 7, 8), (2, 3, 20, 70, 40), (1, 2, 150, 9, 130), (5, 1, 1, 1, 1)]


def operands(
    layout: str, sizes: tuple[int, ...], *, packed: tuple[bool, bool], dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """Unit vectors with weights and masks with holes, NaN behind the masks; packed parts may be empty."""
    q, n, lq, ld, dim = sizes
    generator = torch.Generator().manual_seed(sum(sizes))
    leading = {"all_pairs": (n,), "candidates": (q, n), "pairs": (q,)}[layout]
    given: dict[str, Any] = {}
    for name, shape, ragged in (("query", (q, lq), packed[0]), ("document", (*leading, ld), packed[1])):
        if ragged:
            lengths = torch.randint(0, shape[-1] + 1, (torch.Size(shape[:-1]).numel(),), generator=generator)
            given[f"{name}_cu_seqlens"] = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).int()
            shape = (int(lengths.sum()),)
        vectors = torch.nn.functional.normalize(torch.randn(*shape, dim, generator=generator), dim=-1).to(dtype)
        mask = torch.rand(shape, generator=generator) < 0.7
        vectors[~mask] = float("nan")
        given |= {"queries" if name == "query" else "documents": vectors, f"{name}_mask": mask}
    given["query_weights"] = torch.randn(given["query_mask"].shape, generator=generator)
    if packed[0]:
        given["max_query_tokens"] = lq
    return {name: value.to(DEVICE) if isinstance(value, Tensor) else value for name, value in given.items()}


def scores_and_gradients(given: dict[str, Any], **options: Any) -> list[Tensor]:
    names = [name for name in ("queries", "documents", "query_weights") if name in given]
    leaves = {name: given[name].detach().clone().requires_grad_() for name in names}
    scores = maxsim(**{**given, **leaves}, **options)
    upstream = torch.linspace(-1, 2, scores.numel(), device=scores.device).sin().view(scores.shape)
    with torch.no_grad():
        assert_close(maxsim(**given, **options), scores)
    return [scores.detach(), *torch.autograd.grad(scores, list(leaves.values()), upstream)]


@pytest.mark.parametrize("maxima", MAXIMA)
@pytest.mark.parametrize("packed", list(itertools.product([False, True], repeat=2)), ids=str)
@pytest.mark.parametrize("layout", ["all_pairs", "candidates", "pairs"])
def test_agrees_with_the_definition(layout: str, packed: Any, maxima: str) -> None:
    for sizes in SIZES:
        given = operands(layout, sizes, packed=packed)
        options = {"layout": layout, "reduction": "mean", **MAXIMA[maxima]}
        kernels, definition = (scores_and_gradients(given, backend=each, **options) for each in ("triton", "reference"))
        assert_close(kernels, definition, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("maxima", MAXIMA)
def test_without_masks_and_weights(maxima: str) -> None:
    given = operands("all_pairs", (3, 5, 6, 33, 16), packed=(False, False))
    plain = {name: given[name].nan_to_num() for name in ("queries", "documents")}
    results = [scores_and_gradients(plain, backend=each, **MAXIMA[maxima]) for each in ("triton", "reference")]
    assert_close(*results, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("maxima", MAXIMA)
def test_narrow_operands_accumulate_in_float32(maxima: str, dtype: torch.dtype) -> None:
    """Scores to float32 of the rounded operands; a gradient's share is rounded once more, as the gradient is."""
    given = operands("all_pairs", (2, 3, 6, 40, 64), packed=(False, False), dtype=dtype)
    narrow, wide = (scores_and_gradients(given, backend=each, **MAXIMA[maxima]) for each in ("triton", "reference"))
    assert narrow[0].dtype == torch.float32
    assert_close(narrow[0], wide[0], rtol=1e-5, atol=1e-6)
    assert [each.dtype for each in narrow[1:]] == [dtype, dtype, torch.float32]
    assert_close(narrow[1:], wide[1:], rtol=2 * torch.finfo(dtype).eps, atol=2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("maxima", MAXIMA)
def test_float32_is_exact(maxima: str) -> None:
    given = operands("all_pairs", (2, 3, 32, 180, 128), packed=(False, False))
    exact = {name: each.double() if each.is_floating_point() else each for name, each in given.items()}
    scores = maxsim(**given, backend="triton", **MAXIMA[maxima]).double()
    expected = maxsim(**exact, backend="reference", **MAXIMA[maxima])
    assert ((scores - expected).abs() <= 1e-6 * expected.abs().amax()).all()


def test_operands_of_different_precision_and_strides() -> None:
    given = operands("all_pairs", (3, 4, 5, 9, 24), packed=(False, False))
    given["documents"] = given["documents"].half().transpose(0, 1).contiguous().transpose(0, 1)
    given["queries"] = given["queries"].transpose(1, 2).contiguous().transpose(1, 2)
    assert not given["documents"].is_contiguous()
    results = [scores_and_gradients(given, backend=each) for each in ("triton", "reference")]
    assert_close(*results, rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("maxima", MAXIMA)
def test_every_place_of_the_results_is_written(maxima: str) -> None:
    given = operands("candidates", (3, 4, 5, 7, 8), packed=(True, True))
    options = {"layout": "candidates", **MAXIMA[maxima]}
    results = [scores_and_gradients(given, backend=each, **options) for each in ("triton", "reference")]
    assert_close(*results, rtol=1e-4, atol=2e-6)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("maxima", MAXIMA)
def test_nan_goes_through_and_no_further(maxima: str) -> None:
    queries, documents = torch.randn(2, 3, 8, device=DEVICE), torch.randn(3, 70, 8, device=DEVICE)
    documents[1, 66, 2] = float("nan")
    scores = maxsim(queries, documents, backend="triton", **MAXIMA[maxima])
    assert scores.isnan().tolist() == [[False, True, False]] * 2


@pytest.mark.parametrize("maxima", MAXIMA)
def test_lowest_place_takes_the_gradient_of_a_tie(maxima: str) -> None:
    documents = torch.ones(1, 150, 2, device=DEVICE).requires_grad_()
    maxsim(torch.ones(1, 1, 2, device=DEVICE), documents, backend="triton", **MAXIMA[maxima]).sum().backward()
    share = {"hard": [1.0, *[0.0] * 149], "top_k": [1 / 3] * 3 + [0.0] * 147, "soft": [1 / 150] * 150}[maxima]
    assert documents.grad is not None
    assert_close(documents.grad[0, :, 0].cpu(), torch.tensor(share))


@pytest.mark.parametrize("empty", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)])
@pytest.mark.parametrize("maxima", MAXIMA)
def test_nothing_to_score(maxima: str, empty: tuple[int, ...]) -> None:
    q, n, lq, ld = empty
    given = {"queries": torch.ones(q, lq, 4, device=DEVICE), "documents": torch.ones(n, ld, 4, device=DEVICE)}
    results = [scores_and_gradients(given, backend=each, **MAXIMA[maxima]) for each in ("triton", "reference")]
    assert_close(*results)


def test_offsets_beyond_two_to_the_31() -> None:
    """Rows lie 2^30 numbers apart; the memory between them is reserved, never touched."""
    apart, dim = 1 << 30, 8
    rows = torch.randn(4, dim)
    try:
        storage = torch.empty(3 * apart + dim, dtype=torch.float16, device=DEVICE)
    except RuntimeError as error:
        pytest.skip(f"6 GiB of address space cannot be reserved: {error}")
    documents = storage.as_strided((4, dim), (apart, 1))
    documents.copy_(rows)
    offsets = torch.tensor([0, 1, 4], dtype=torch.int32, device=DEVICE)
    queries = torch.randn(1, 2, dim, device=DEVICE)
    scores = maxsim(queries, documents, document_cu_seqlens=offsets, backend="triton")
    near = rows.half().to(DEVICE)
    assert_close(scores, maxsim(queries, near, document_cu_seqlens=offsets, backend="reference"))


@pytest.mark.parametrize("maxima", MAXIMA)
@pytest.mark.parametrize("backend", ["triton", "auto"])
def test_gradients_repeat_bit_for_bit(maxima: str, backend: str) -> None:
    given = operands("all_pairs", (3, 6, 8, 70, 16), packed=(False, True))
    first, second = (scores_and_gradients(given, backend=backend, **MAXIMA[maxima]) for _ in range(2))
    assert_close(first, second, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("maxima", MAXIMA)
@pytest.mark.parametrize("triton", [True, False], ids=["triton", "cpu"])
def test_operator_passes_torchs_checks(maxima: str, triton: bool) -> None:
    given = operands("all_pairs", (2, 3, 4, 5, 8), packed=(False, True))
    if not triton:
        given = {name: value.cpu() if isinstance(value, Tensor) else value for name, value in given.items()}
    options: dict[str, Any] = {"temperature": 0.0, "top_k": 1, **MAXIMA[maxima]}
    names = ("queries", "documents", "query_mask", "document_mask", "query_weights", "query_cu_seqlens")
    tensors = [given.get(name) for name in (*names, "document_cu_seqlens")]
    problem = problem_of(*tensors, layout="all_pairs", max_query_tokens=None, tf32=False, **options)  # type: ignore[arg-type]
    trained = [
        each.nan_to_num().requires_grad_() if each is not None and each.is_floating_point() else each
        for each in problem
        if not isinstance(each, (int, float))
    ]
    arguments = (*trained, *problem[len(trained) :], True, triton)
    torch.library.opcheck(library.maxsim_op, arguments)


@pytest.mark.parametrize("backend", ["auto", "triton"])
@pytest.mark.parametrize("maxima", MAXIMA)
def test_training_step_compiles_in_one_graph(maxima: str, backend: Any) -> None:
    torch.compiler.reset()
    scorer = MaxSim(backend=backend, **MAXIMA[maxima])
    queries = torch.randn(3, 4, 8, device=DEVICE)
    documents = torch.randn(5, 6, 8, device=DEVICE)
    mask = torch.rand(5, 6, device=DEVICE) < 0.7
    weight = torch.randn(8, 8, device=DEVICE)

    def step(weight: Tensor) -> tuple[Tensor, Tensor]:
        weight = weight.detach().requires_grad_()
        loss = scorer(queries @ weight, documents @ weight, None, mask).log_softmax(-1)[:, 0].sum()
        return loss.detach(), torch.autograd.grad(loss, weight)[0]

    def forward(weight: Tensor) -> Tensor:
        return scorer(queries @ weight, documents @ weight, None, mask).log_softmax(-1)[:, 0].sum()

    compiled = torch.compile(forward, fullgraph=True, backend="aot_eager")
    leaf = weight.clone().requires_grad_()
    value = compiled(leaf)
    assert_close((value.detach(), torch.autograd.grad(value, leaf)[0]), step(weight))


def test_unsound_offsets() -> None:
    """On a CPU an error; where a check would wait for the device, NaN and nothing read out of bounds."""
    documents = torch.randn(5, 8, device=DEVICE)
    offsets = torch.tensor([0, 3, 2, 5], dtype=torch.int32, device=DEVICE)
    if DEVICE == "cuda":
        scores = maxsim(torch.randn(1, 2, 8, device=DEVICE), documents, document_cu_seqlens=offsets)
        assert scores.isnan().tolist() == [[False, True, False]]
    else:
        with pytest.raises(InputError, match="document_cu_seqlens: expected to never fall, got 3 then 2 at place 2"):
            maxsim(torch.randn(1, 2, 8), documents, document_cu_seqlens=offsets, backend="triton")


@pytest.mark.parametrize(
    ("width", "dtype", "message"),
    [(1025, torch.float32, "widths from 1 to 1024, got 1025"), (8, torch.float64, "accumulate in float32")],
)
def test_what_kernels_cannot_do_is_said(width: int, dtype: torch.dtype, message: str) -> None:
    queries = torch.ones(1, 2, width, dtype=dtype, device=DEVICE)
    with pytest.raises(InputError, match=f'backend: "triton" cannot run: .*{message}'):
        maxsim(queries, queries, backend="triton")
