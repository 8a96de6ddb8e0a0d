"""Quantised MaxSim: rules that need no comparison, and what it refuses in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import Int8Tokens, QuantisedTokens, ResidualTokens, SignTokens, maxsim_quantised

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BACKENDS = ("auto", "triton", "reference")
INT8 = Int8Tokens(torch.arange(-96, 96).to(torch.int8).view(4, 3, 16), torch.ones(4, 3))
SIGN = SignTokens((torch.arange(24) * 89).to(torch.uint8).view(4, 3, 2))
RESIDUAL = ResidualTokens(
    (torch.arange(48) * 89).to(torch.uint8).view(4, 3, 4),
    torch.arange(12, dtype=torch.int32).view(4, 3) % 5,
    torch.arange(80.0).view(5, 16).sin(),
    torch.tensor([-0.3, -0.1, 0.1, 0.3]),
)
WRONG: dict[str, tuple[QuantisedTokens | Tensor, dict[str, Any], type[Exception], str]] = {
    "no tokens": (torch.zeros(4, 3, 16), {}, TypeError, "documents: expected Int8Tokens.*got Tensor"),
    "codes' type": (INT8._replace(codes=INT8.codes.int()), {}, TypeError, r"documents\.codes: .*int8, got torch.int32"),
    "scales' type": (INT8._replace(scales=INT8.scales.half()), {}, TypeError, r"documents\.scales: .*float32"),
    "scales' shape": (INT8._replace(scales=INT8.scales[0]), {}, InputError, r"documents\.scales: expected \[4, 3\]"),
    "bits' type": (SIGN._replace(bits=SIGN.bits.bool()), {}, TypeError, r"documents\.bits: expected torch.uint8"),
    "no axes": (SignTokens(SIGN.bits[0, 0, 0]), {}, InputError, r"documents\.bits: .*without axes"),
    "width": (INT8._replace(codes=INT8.codes[..., :12]), {}, InputError, "multiple of 8.*got 12"),
    "too wide": (SignTokens(SIGN.bits.repeat(1, 1, 65)), {}, InputError, "at most 1024, got 1040"),
    "other width": (SignTokens(SIGN.bits.repeat(1, 1, 2)), {}, InputError, r"documents: .*\[documents, tokens, 16\]"),
    "ids' type": (
        RESIDUAL._replace(centroid_ids=RESIDUAL.centroid_ids.long()),
        {},
        TypeError,
        r"documents\.centroid_ids: expected torch.int32",
    ),
    "ids' shape": (
        RESIDUAL._replace(centroid_ids=RESIDUAL.centroid_ids[0]),
        {},
        InputError,
        r"documents\.centroid_ids: expected \[4, 3\]",
    ),
    "ids": (
        RESIDUAL._replace(centroid_ids=RESIDUAL.centroid_ids + 1),
        {},
        InputError,
        r"documents\.centroid_ids: expected 0 to 4.*got 1 to 5",
    ),
    "bits": (
        RESIDUAL._replace(bucket_weights=torch.zeros(8)),
        {},
        InputError,
        r"documents\.bucket_weights: expected 2, 4 or 16",
    ),
    "bytes": (
        RESIDUAL._replace(bucket_weights=torch.zeros(16)),
        {},
        InputError,
        r"documents\.codes: expected \[\.\.\., 8\], 4 bits",
    ),
    "centroids": (RESIDUAL._replace(centroids=torch.zeros(16)), {}, InputError, r"documents\.centroids: expected"),
    "layout": (INT8, {"layout": "pairs"}, InputError, "documents: layout"),
    "unknown layout": (INT8, {"layout": "list"}, InputError, "layout: expected"),
    "mask": (INT8, {"document_mask": torch.ones(4, 2, dtype=torch.bool)}, InputError, "document_mask: expected"),
    "reduction": (INT8, {"reduction": "max"}, InputError, 'reduction: expected "sum" or "mean"'),
    "backend": (INT8, {"backend": "cuda"}, InputError, "backend: expected"),
    "device": (INT8._replace(scales=INT8.scales.to("meta")), {}, InputError, r"documents\.scales: on meta"),
    "offsets": (
        SignTokens(SIGN.bits[0]),
        {"document_cu_seqlens": torch.tensor([0, 4])},
        InputError,
        "document_cu_seqlens: expected .* 3",
    ),
}


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("case", WRONG)
def test_errors_name_the_argument(case: str, backend: str) -> None:
    documents, options, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        maxsim_quantised(torch.randn(2, 5, 16), documents, **{"backend": backend, **options})  # type: ignore[arg-type]


def test_queries_must_be_floating_point() -> None:
    with pytest.raises(TypeError, match=r"queries: expected a floating-point tensor.*\.float\(\)"):
        maxsim_quantised(torch.zeros(2, 5, 16, dtype=torch.long), INT8)


def test_gives_no_gradient_and_says_so() -> None:
    documents = RESIDUAL
    queries = torch.randn(1, 2, 16, requires_grad=True)
    with pytest.raises(InputError, match=r"queries: asks for a gradient.*torch\.no_grad\(\).*maxsim on decoded"):
        maxsim_quantised(queries, documents)
    with pytest.raises(InputError, match=r"documents\.centroids: asks for a gradient"):
        maxsim_quantised(queries.detach(), documents._replace(centroids=documents.centroids.clone().requires_grad_()))
    with torch.no_grad():
        assert not maxsim_quantised(queries, documents).requires_grad


@pytest.mark.parametrize("backend", BACKENDS)
def test_sign_conventions_convert_exactly(backend: Any) -> None:
    bits = torch.randint(0, 256, (4, 9, 5), dtype=torch.uint8, device=DEVICE)
    queries = torch.randn(2, 3, 40, device=DEVICE)
    signs, ones = (maxsim_quantised(queries, SignTokens(bits, each), backend=backend) for each in (False, True))
    assert_close(signs, 2 * ones - queries.sum(dim=(1, 2)).unsqueeze(1), rtol=1e-4, atol=1e-3)
    assert torch.equal(signs.argsort(dim=1), ones.argsort(dim=1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_scale_of_nan_reaches_its_document_alone(backend: Any) -> None:
    documents = Int8Tokens(torch.ones(3, 5, 16, dtype=torch.int8, device=DEVICE), torch.ones(3, 5, device=DEVICE))
    documents.scales[1, 4] = float("nan")
    scores = maxsim_quantised(torch.randn(2, 3, 16, device=DEVICE), documents, backend=backend)
    assert scores.isnan().any(dim=0).tolist() == [False, True, False]
    assert scores[:, 1].isnan().all()


def test_shapes_are_known_without_values() -> None:
    documents = SignTokens(torch.zeros(3, 4, 5, 2, dtype=torch.uint8, device="meta"))
    scores = maxsim_quantised(torch.zeros(3, 6, 16, device="meta").half(), documents, layout="candidates")
    assert (scores.shape, scores.dtype, scores.device.type) == ((3, 4), torch.float32, "meta")


# The exporter of torch 2.13 calls a function that torch 2.13 deprecates.
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize("documents", [INT8, SIGN, RESIDUAL], ids=lambda documents: type(documents).__name__)
def test_exported_onnx_graph_scores_alike(documents: QuantisedTokens, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")

    class Index(torch.nn.Module):
        def forward(self, queries: Tensor) -> Tensor:
            return maxsim_quantised(queries, documents)

    queries = torch.randn(2, 5, 16)
    program = torch.onnx.export(Index().eval(), (queries,), input_names=["queries"], dynamo=True, verbose=False)
    assert program is not None
    program.save(tmp_path / "index.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "index.onnx", providers=["CPUExecutionProvider"])
    scores = torch.from_numpy(session.run(None, {"queries": queries.numpy()})[0])
    assert_close(scores, maxsim_quantised(queries, documents, backend="reference"))
