"""MaxSim of packed queries and documents is that of padded ones; and MaxSim in exported graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.modules.max_sim import MaxSim
from rankgrad.ops import maxsim
from rankgrad.ops.maxsim import cpu_blocks

BACKENDS = ["auto", "triton", "reference"]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MAXIMA: list[dict[str, Any]] = [{}, {"temperature": 0.5}, {"top_k": 2}]


def padded_and_packed(lengths: list[int], dim: int = 8) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(padded, mask, packed, offsets) of some texts."""
    counts = torch.tensor(lengths, dtype=torch.int64, device=DEVICE)
    padded = torch.randn(len(lengths), max([*lengths, 1]), dim, device=DEVICE)
    mask = torch.arange(padded.shape[1], device=DEVICE) < counts.unsqueeze(1)
    ends = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).to(torch.int32)
    return padded, mask, padded[mask], ends


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("maxima", MAXIMA, ids=str)
@pytest.mark.parametrize("lengths", [[3, 1, 7, 2], [5], [0, 4, 0, 0, 2, 0], [0, 0], [30, 1, 1, 1, 40]], ids=str)
@pytest.mark.parametrize("tile", [100, 1 << 17])
def test_packed_documents(
    backend: Any, lengths: list[int], maxima: dict[str, Any], tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_blocks, "TILE_ELEMENTS", tile)
    documents, mask, packed, ends = padded_and_packed(lengths)
    queries, weights = torch.randn(3, 4, 8, device=DEVICE), torch.rand(3, 4, device=DEVICE)
    query_mask = torch.tensor([[True, True, False, True], [True] * 4, [False] * 4], device=DEVICE)
    for options in ({}, {"query_weights": weights, "reduction": "mean"}):
        options = {**options, **maxima}
        scores = maxsim(queries, packed, query_mask, document_cu_seqlens=ends, backend=backend, **options)
        assert_close(scores, maxsim(queries, documents, query_mask, mask, backend="reference", **options))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("maxima", MAXIMA, ids=str)
@pytest.mark.parametrize("layout", ["all_pairs", "candidates", "pairs"])
def test_packed_queries(layout: Any, maxima: dict[str, Any], backend: Any) -> None:
    queries, mask, packed, ends = padded_and_packed([3, 0, 5, 1])
    shape = {"all_pairs": (6, 7, 8), "candidates": (4, 6, 7, 8), "pairs": (4, 7, 8)}[layout]
    documents = torch.randn(shape, device=DEVICE)
    options = {"layout": layout, "reduction": "mean", "backend": backend, **maxima}
    scores = maxsim(packed, documents, query_cu_seqlens=ends, **options)
    assert_close(scores, maxsim(queries, documents, mask, **options))
    assert (scores[1] == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_packed_candidates(backend: Any) -> None:
    """Two documents for each of three queries."""
    documents, mask, packed, ends = padded_and_packed([2, 0, 5, 3, 1, 4])
    queries = torch.randn(3, 4, 8, device=DEVICE)
    scores = maxsim(queries, packed, document_cu_seqlens=ends, layout="candidates", backend=backend)
    expected = maxsim(queries, documents.unflatten(0, (3, 2)), None, mask.unflatten(0, (3, 2)), layout="candidates")
    assert_close(scores, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_documents(backend: Any) -> None:
    nothing = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    queries, documents = torch.randn(2, 3, 4, device=DEVICE), torch.empty(0, 4, device=DEVICE)
    scores = maxsim(queries, documents, document_cu_seqlens=nothing, backend=backend)
    assert scores.shape == (2, 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_is_that_of_padded_documents(backend: Any) -> None:
    documents, mask, packed, ends = padded_and_packed([3, 0, 5])
    queries = torch.randn(2, 4, 8, device=DEVICE)
    documents.requires_grad_()
    packed.requires_grad_()
    upstream = torch.tensor([[1.0, 0.0, -2.0], [0.5, 0.0, 3.0]], device=DEVICE)
    (expected,) = torch.autograd.grad(maxsim(queries, documents, None, mask), documents, upstream)
    scores = maxsim(queries, packed, document_cu_seqlens=ends, backend=backend)
    (gradient,) = torch.autograd.grad(scores, packed, upstream)
    assert_close(gradient, expected[mask])


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiles_without_a_graph_break(backend: Any) -> None:
    _, _, packed, ends = padded_and_packed([3, 1, 7])
    queries = torch.randn(2, 4, 8, device=DEVICE)
    compiled = torch.compile(maxsim, fullgraph=True, backend="eager")
    options: dict[str, Any] = {"document_cu_seqlens": ends, "backend": backend}
    expected = maxsim(queries, packed, **options)
    assert_close(compiled(queries, packed, **options), expected)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        assert_close(compiled(queries, packed, **options), expected)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"documents": torch.ones(6, 9)}, InputError, r"documents: .*\[total_tokens, 4\].*got \[6, 9\]"),
        ({"document_cu_seqlens": torch.tensor([0.0, 6.0])}, TypeError, r"document_cu_seqlens: expected int32, got"),
        ({"document_cu_seqlens": torch.tensor([[0, 6]])}, InputError, r"expected \[documents \+ 1\], got \[1, 2\]"),
        ({"document_cu_seqlens": torch.tensor([0, 4, 2, 6])}, InputError, r"never fall, got 4 then 2 at place 2"),
        ({"document_cu_seqlens": torch.tensor([0, 7])}, InputError, r"from 0 to 6, the number of rows, got 0 to 7"),
        ({"document_cu_seqlens": torch.tensor([1, 6])}, InputError, r"from 0 to 6, the number of rows, got 1 to 6"),
        ({"layout": "candidates"}, InputError, r"a multiple of 2, as many for each query, got 3"),
        ({"query_cu_seqlens": torch.tensor([0, 3])}, InputError, r"queries: packed by query_cu_seqlens, expected"),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_does_not_fit_is_named(
    changes: dict[str, Any], error: type[Exception], message: str, backend: Any
) -> None:
    fitting = {"documents": torch.ones(6, 4), "document_cu_seqlens": torch.tensor([0, 2, 3, 6])}
    with pytest.raises(error, match=message):
        maxsim(torch.ones(2, 3, 4), backend=backend, **{**fitting, **changes})


# The exporter of torch 2.13 calls a function that torch 2.13 deprecates.
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize("maxima", [{}, {"temperature": 0.5}], ids=str)
def test_exported_onnx_graph_takes_other_sizes(tmp_path: Path, maxima: dict[str, Any]) -> None:
    """Both batch sizes and both lengths stay dynamic, and masks keep their meaning."""
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    example = (torch.randn(2, 3, 8), torch.randn(4, 5, 8), torch.ones(2, 3).bool(), torch.ones(4, 5).bool())
    names = ["queries", "documents", "query_mask", "document_mask"]
    dynamic = {name: {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for name in names}
    path = tmp_path / "maxsim.onnx"
    program = torch.onnx.export(
        MaxSim(**maxima).eval(), example, input_names=names, dynamic_shapes=dynamic, dynamo=True, verbose=False
    )
    assert program is not None
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = (torch.randn(3, 4, 8), torch.randn(6, 7, 8), torch.rand(3, 4) < 0.8, torch.rand(6, 7) < 0.5)
    inputs[3][2] = False
    (scores,) = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})
    queries, documents, query_mask, document_mask = inputs
    assert_close(torch.from_numpy(scores), maxsim(queries, documents, query_mask, document_mask, **maxima))
