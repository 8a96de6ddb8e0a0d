"""Quantised MaxSim: what codes stand for, and every implementation against MaxSim of exactly that."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rankgrad._checks import InputError
from rankgrad.ops import Int8Tokens, QuantisedTokens, ResidualTokens, SignTokens, maxsim, maxsim_quantised
from rankgrad.ops.maxsim import quantised_cpu, quantised_library
from rankgrad.ops.maxsim.operands import problem_of
from rankgrad.ops.maxsim.quantised_problem import quantised_problem_of
from rankgrad.ops.maxsim.quantised_reference import decode
from rankgrad.ops.maxsim.quantised_tokens import check_tokens

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
FORMATS = ("int8", "sign", "zero_one", "residual-1", "residual-2", "residual-4", "residual-2-as-is")
LAYOUTS = ("all_pairs", "candidates", "pairs")
BACKENDS = ("auto", "triton", "reference")
# queries, documents, query tokens, document tokens, dim
SIZES = [(3, 4, 5, 37, 40), (2, 3, 20, 70, 8), (5, 1, 1, 1, 136), (1, 2, 150, 9, 128)]
CENTROIDS = 5


def tokens_of(kind: str, shape: tuple[int, ...], dim: int, generator: torch.Generator) -> QuantisedTokens:
    """Random codes, every byte possible."""

    def integers(*shape: int, low: int = 0, high: int = 256, dtype: torch.dtype = torch.uint8) -> Tensor:
        return torch.randint(low, high, shape, generator=generator).to(dtype)

    if kind == "int8":
        codes = integers(*shape, dim, low=-128, high=128, dtype=torch.int8)
        return Int8Tokens(codes, torch.rand(shape, generator=generator) / 100 - 0.001)
    if kind in ("sign", "zero_one"):
        return SignTokens(integers(*shape, dim // 8), kind == "zero_one")
    bits = int(kind.split("-")[1])
    return ResidualTokens(
        integers(*shape, dim * bits // 8),
        integers(*shape, high=CENTROIDS, dtype=torch.int32),
        normalize(torch.randn(CENTROIDS, dim, generator=generator), dim=-1),
        torch.randn(2**bits, generator=generator) / 10,
        not kind.endswith("as-is"),
    )


def operands(
    kind: str, layout: str, sizes: tuple[int, ...], *, packed: bool = False, dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """Weights and masks with holes, an empty query, empty documents, and garbage behind the masks."""
    q, n, lq, ld, dim = sizes
    generator = torch.Generator().manual_seed(sum(sizes))
    shape: tuple[int, ...] = {"all_pairs": (n, ld), "candidates": (q, n, ld), "pairs": (q, ld)}[layout]
    given: dict[str, Any] = {}
    if packed:
        lengths = torch.randint(0, ld + 1, (torch.Size(shape[:-1]).numel(),), generator=generator)
        lengths[:1] = 0
        given["document_cu_seqlens"] = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).int()
        shape = (int(lengths.sum()),)
    query_mask = torch.rand(q, lq, generator=generator) < 0.7
    query_mask[-1:] &= q < 2
    document_mask = torch.rand(shape, generator=generator) < 0.7
    queries = normalize(torch.randn(q, lq, dim, generator=generator), dim=-1).to(dtype)
    queries[~query_mask] = float("nan")
    documents = tokens_of(kind, shape, dim, generator)
    if isinstance(documents, Int8Tokens):
        documents.scales[~document_mask] = float("nan")
    if isinstance(documents, ResidualTokens):
        documents.centroid_ids[~document_mask] = -7
    return given | {
        "queries": queries,
        "documents": documents,
        "query_mask": query_mask,
        "document_mask": document_mask,
        "query_weights": torch.randn(q, lq, generator=generator),
    }


def formula(documents: QuantisedTokens, mask: Tensor | None = None) -> Tensor:
    """Decoded embeddings, bit by bit with numpy."""
    if isinstance(documents, Int8Tokens):
        return documents.codes.float() * documents.scales[..., None]
    if isinstance(documents, SignTokens):
        bits = torch.from_numpy(np.unpackbits(documents.bits.cpu().numpy(), axis=-1)).float()
        return bits if documents.zero_one else 2 * bits - 1
    width = {2: 1, 4: 2, 16: 4}[len(documents.bucket_weights)]
    bits = torch.from_numpy(np.unpackbits(documents.codes.cpu().numpy(), axis=-1)).long().unflatten(-1, (-1, width))
    ids = documents.centroid_ids.long() if mask is None else documents.centroid_ids.long().where(mask, 0)
    buckets = sum(bits[..., place] * 2**place for place in range(width))
    values = documents.centroids[ids] + documents.bucket_weights[buckets]
    return values / values.norm(dim=-1, keepdim=True) if documents.normalise else values


def expected_and_bound(given: dict[str, Any], **options: Any) -> tuple[Tensor, Tensor]:
    """MaxSim of the decoded documents in float64, and how far scores may be from it."""
    decoded = formula(given["documents"], given.get("document_mask")).double()
    rest = {name: value for name, value in given.items() if name not in ("queries", "documents")}
    exact = maxsim(given["queries"].double(), decoded, **rest, **options, backend="reference")
    queries = given["queries"].float()
    real = given.get("query_mask", torch.ones(queries.shape[:2], dtype=torch.bool))
    steps = 16319 if decoded.shape[-1] > 512 else 32639
    largest = queries.abs().amax(dim=-1).masked_fill(~real, 0.0) if queries.numel() else queries.sum(-1)
    weights = given.get("query_weights", torch.ones(())).abs()
    longest = decoded.nan_to_num().abs().sum(dim=-1).max() if decoded.numel() else decoded.sum()
    off = ((largest / (2 * steps) + 1e-6) * weights).sum(dim=-1) * longest
    return exact, off if exact.dim() == 1 else off.unsqueeze(1)


def moved(value: Any) -> Any:
    if isinstance(value, tuple):
        return type(value)(*map(moved, value))
    return value.to(DEVICE) if isinstance(value, Tensor) else value


def assert_agrees(given: dict[str, Any], **options: Any) -> None:
    """Within the bound of the docstring on a CPU, and to float32's precision elsewhere."""
    backend = options.pop("backend")
    exact, bound = expected_and_bound(given, **options)
    scores = maxsim_quantised(**{name: moved(value) for name, value in given.items()}, **options, backend=backend)
    assert scores.dtype == torch.promote_types(given["queries"].dtype, torch.float32)
    scores = scores.cpu().double()
    same = scores.isinf() & (scores == exact)
    assert (same | ((scores - exact).abs() <= bound)).all(), (scores, exact, bound)
    if backend != "auto":
        assert_close(scores, exact, rtol=1e-4, atol=1e-4 * float(exact[exact.isfinite()].abs().max().clamp(min=1e-3)))


@pytest.mark.parametrize("kind", FORMATS)
def test_codes_stand_for_what_the_formula_says(kind: str) -> None:
    documents = tokens_of(kind, (3, 7), 24, torch.Generator().manual_seed(1))
    assert_close(decode(documents), formula(documents))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_agrees_with_maxsim_of_decoded_documents(backend: str, kind: str, layout: str, packed: bool) -> None:
    assert_agrees(operands(kind, layout, SIZES[0], packed=packed), layout=layout, backend=backend, reduction="mean")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["int8", "sign", "residual-2"])
@pytest.mark.parametrize("sizes", SIZES[1:])
def test_odd_sizes_without_masks(backend: str, kind: str, sizes: tuple[int, ...]) -> None:
    given = operands(kind, "all_pairs", sizes)
    given |= {"queries": given["queries"].nan_to_num(0.1), "documents": tokens_of(kind, sizes[1::2], sizes[4], rng())}
    given = {name: given[name] for name in ("queries", "documents")}
    assert_agrees(given, backend=backend)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["int8", "zero_one", "residual-4"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_of_queries(backend: str, kind: str, dtype: torch.dtype) -> None:
    given = operands(kind, "all_pairs", SIZES[0], dtype=dtype)
    if backend == "triton" and dtype == torch.float64:
        with pytest.raises(InputError, match="accumulate in float32"):
            maxsim_quantised(**given, backend="triton")
        return
    assert_agrees(given, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dim", [512, 520, 1024])
@pytest.mark.parametrize("code", [-128, 127])
def test_the_largest_sums_of_products_do_not_overflow(backend: Any, dim: int, code: int) -> None:
    documents = Int8Tokens(torch.full((1, 2, dim), code, dtype=torch.int8), torch.ones(1, 2))
    scores = maxsim_quantised(torch.ones(1, 1, dim, device=DEVICE), moved(documents), backend=backend)
    assert_close(scores.cpu(), torch.full((1, 1), float(dim * code)), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("kind", FORMATS)
def test_without_vnni_a_cpu_multiplies_floats(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    given = operands(kind, "all_pairs", SIZES[0], packed=True)
    assert_close(maxsim_quantised(**given), maxsim_quantised(**given, backend="reference"))


@pytest.mark.parametrize("kind", ["int8", "sign", "residual-2"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("tile", "chunk"), [(1, 1), (200, 3)])
def test_size_of_a_tile_does_not_matter(
    kind: str, layout: Any, tile: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = operands(kind, layout, SIZES[0])
    expected = maxsim_quantised(**given, layout=layout)
    monkeypatch.setattr(quantised_cpu, "_TILE_ELEMENTS", tile)
    monkeypatch.setattr(quantised_cpu, "_CHUNK_ROWS", chunk)
    assert_close(maxsim_quantised(**given, layout=layout), expected)


class LargestMemory(TorchDispatchMode):
    """The most bytes behind any operator's result."""

    most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        leaves = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.most = max([self.most, *(leaf.untyped_storage().nbytes() for leaf in leaves)])
        return result


@pytest.mark.parametrize("kind", ["int8", "sign", "residual-4"])
def test_documents_are_never_unpacked_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised_cpu, "_TILE_ELEMENTS", 1 << 12)
    documents, queries = tokens_of(kind, (64, 50), 128, rng()), torch.randn(1, 32, 128)
    with LargestMemory() as memory:
        maxsim_quantised(queries, documents)
    codes = documents[0]
    assert isinstance(codes, Tensor)
    assert memory.most <= max(codes.nbytes, 64 * 50 * 128)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["int8", "sign", "residual-2"])
def test_strides_do_not_matter(backend: Any, kind: str) -> None:
    given = {name: moved(value) for name, value in operands(kind, "candidates", SIZES[0]).items()}

    def strided(value: Any) -> Any:
        if isinstance(value, tuple):
            return type(value)(*map(strided, value))
        return value.movedim(0, -1).contiguous().movedim(-1, 0) if isinstance(value, Tensor) else value

    other = {name: strided(value) for name, value in given.items()}
    assert not other["queries"].is_contiguous()
    options: dict[str, Any] = {"layout": "candidates", "backend": backend}
    assert_close(maxsim_quantised(**other, **options), maxsim_quantised(**given, **options))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sizes", [(0, 2, 3, 4, 8), (2, 0, 3, 4, 8), (2, 3, 0, 4, 8), (2, 3, 4, 0, 8)])
@pytest.mark.parametrize("kind", ["int8", "sign", "residual-2"])
def test_empty_sides_score_like_maxsim(backend: Any, sizes: tuple[int, ...], kind: str) -> None:
    for layout, packed in itertools.product(LAYOUTS, (False, True)):
        given = operands(kind, layout, sizes, packed=packed)
        expected = expected_and_bound(given, layout=layout)[0].float()
        given = {name: moved(value) for name, value in given.items()}
        scores = maxsim_quantised(**given, layout=layout, backend=backend)
        assert_close(scores.cpu(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["int8", "sign", "residual-2"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul:RuntimeWarning")
def test_nan_and_infinity_come_out_and_go_no_further(backend: Any, kind: str, value: float) -> None:
    given = operands(kind, "all_pairs", SIZES[0])
    given = {name: moved(given[name]) for name in ("queries", "documents", "query_mask", "document_mask")}
    before = maxsim_quantised(**given, backend="reference")
    given["queries"] = given["queries"].clone()
    given["queries"][0, int(given["query_mask"][0].nonzero()[0])] = value
    scores = maxsim_quantised(**given, backend=backend)
    assert not scores[0, 1:].isfinite().any()
    assert_close(scores[1:], before[1:], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["int8", "sign", "residual-2"])
def test_compiles_without_a_graph_break(backend: Any, kind: str) -> None:
    given = {name: moved(value) for name, value in operands(kind, "all_pairs", SIZES[0]).items()}
    torch.compiler.reset()
    compiled = torch.compile(maxsim_quantised, fullgraph=True, backend="aot_eager")
    assert_close(compiled(**given, backend=backend), maxsim_quantised(**given, backend=backend))


@pytest.mark.parametrize("triton", [False, True])
@pytest.mark.parametrize("kind", ["int8", "sign", "residual-2"])
def test_operator(triton: bool, kind: str) -> None:
    given = operands(kind, "candidates", SIZES[0], packed=True)
    documents = given.pop("documents")
    queries = given.pop("queries").nan_to_num()
    stand_in = queries.new_empty(1).expand(check_tokens(documents))
    offsets = given.pop("document_cu_seqlens")
    options: dict[str, Any] = {"max_query_tokens": None, "temperature": 0.0, "top_k": 1, "tf32": False}
    problem = problem_of(
        queries, stand_in, **given, query_cu_seqlens=None, document_cu_seqlens=offsets, layout="candidates", **options
    )
    arguments = tuple(map(moved, (*quantised_problem_of(problem, documents), triton)))
    if not triton:
        arguments = tuple(value.cpu() if isinstance(value, Tensor) else value for value in arguments)
    torch.library.opcheck(quantised_library.maxsim_quantised_op, arguments)
