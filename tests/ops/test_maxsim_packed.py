"""MaxSim against packed documents, and MaxSim in exported graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.modules.max_sim import MaxSim
from rankgrad.ops import maxsim, maxsim_packed
from rankgrad.ops.maxsim import cpu


def padded_and_packed(lengths: list[int], dim: int = 8) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(documents, document_mask, packed documents, cu_seqlens)."""
    counts = torch.tensor(lengths, dtype=torch.int64)
    documents = torch.randn(len(lengths), max([*lengths, 1]), dim)
    mask = torch.arange(documents.shape[1]) < counts.unsqueeze(1)
    ends = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).to(torch.int32)
    return documents, mask, documents[mask], ends


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("lengths", [[3, 1, 7, 2], [5], [0, 4, 0, 0, 2, 0], [0, 0], [30, 1, 1, 1, 40]])
@pytest.mark.parametrize("tile", [1, 100, 1 << 17])
def test_agrees_with_padded_documents(
    backend: Any, lengths: list[int], tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_TILE_ELEMENTS", tile)
    documents, mask, packed, ends = padded_and_packed(lengths)
    queries, weights = torch.randn(3, 4, 8), torch.rand(3, 4)
    query_mask = torch.tensor([[True, True, False, True], [True] * 4, [False] * 4])
    for options in ({}, {"query_weights": weights, "reduction": "mean"}):
        scores = maxsim_packed(queries, query_mask, packed, ends, backend=backend, **options)
        assert_close(scores, maxsim(queries, documents, query_mask, mask, **options))


def test_no_documents() -> None:
    assert maxsim_packed(torch.randn(2, 3, 4), None, torch.empty(0, 4), torch.zeros(1, dtype=torch.int32)).shape == (
        2,
        0,
    )


def test_gradient_is_that_of_padded_documents() -> None:
    documents, mask, packed, ends = padded_and_packed([3, 0, 5])
    queries = torch.randn(2, 4, 8)
    documents.requires_grad_()
    packed.requires_grad_()
    upstream = torch.tensor([[1.0, 0.0, -2.0], [0.5, 0.0, 3.0]])
    (expected,) = torch.autograd.grad(maxsim(queries, documents, None, mask), documents, upstream)
    (gradient,) = torch.autograd.grad(maxsim_packed(queries, None, packed, ends), packed, upstream)
    assert_close(gradient, expected[mask])


def test_compiles_without_a_graph_break() -> None:
    _, _, packed, ends = padded_and_packed([3, 1, 7])
    queries = torch.randn(2, 4, 8)
    compiled = torch.compile(maxsim_packed, fullgraph=True, backend="eager")
    expected = maxsim_packed(queries, None, packed, ends)
    assert_close(compiled(queries, None, packed, ends), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(compiled(queries, None, packed, ends), expected)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"documents": torch.ones(6, 9)}, InputError, r"documents: expected \[total_tokens, 4\], got \[6, 9\]"),
        ({"cu_seqlens": torch.tensor([0.0, 6.0])}, TypeError, r"cu_seqlens: expected int32, got torch.float32"),
        ({"cu_seqlens": torch.tensor([[0, 6]])}, InputError, r"cu_seqlens: expected \[documents \+ 1\], got \[1, 2\]"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    fitting = {"documents": torch.ones(6, 4), "cu_seqlens": torch.tensor([0, 2, 6])}
    with pytest.raises(error, match=message):
        maxsim_packed(torch.ones(2, 3, 4), None, **{**fitting, **changes})


# The exporter of torch 2.13 calls a function that torch 2.13 deprecates.
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_exported_onnx_graph_takes_other_sizes(tmp_path: Path) -> None:
    """Both batch sizes and both lengths stay dynamic, and masks keep their meaning."""
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    example = (torch.randn(2, 3, 8), torch.randn(4, 5, 8), torch.ones(2, 3).bool(), torch.ones(4, 5).bool())
    names = ["queries", "documents", "query_mask", "document_mask"]
    dynamic = {name: {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for name in names}
    path = tmp_path / "maxsim.onnx"
    program = torch.onnx.export(
        MaxSim().eval(), example, input_names=names, dynamic_shapes=dynamic, dynamo=True, verbose=False
    )
    assert program is not None
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = (torch.randn(3, 4, 8), torch.randn(6, 7, 8), torch.rand(3, 4) < 0.8, torch.rand(6, 7) < 0.5)
    inputs[3][2] = False
    (scores,) = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})
    queries, documents, query_mask, document_mask = inputs
    assert_close(torch.from_numpy(scores), maxsim(queries, documents, query_mask, document_mask))
