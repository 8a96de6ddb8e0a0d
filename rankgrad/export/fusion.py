"""A learned fusion as an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from rankgrad.export.module import export_module
from rankgrad.export.trace import OPSET, Axes, Declared
from rankgrad.fuse import LearnedFusion
from rankgrad.fuse.align import Aligned
from rankgrad.fuse.explain import Contributing


def export_fusion(fusion: LearnedFusion, path: str | Path, *, tolerance: float = 1e-5, opset: int = OPSET) -> Declared:
    """Write a learned fusion as one ONNX file: what each list says of each document in, fused scores out.

    A fusion by ranks takes ``ranks [queries, lists, documents]`` float32, 1 = the first of a list, 0 = not in it. One
    that reads scores (``method="score_sum"``, ``soft_ranks=True``) takes ``scores`` so and ``present``, bool.
    Both give ``fused [queries, documents]``, higher is better, ``-inf`` for a document of no list. Putting documents of
    several lists beside each other is left to the caller; :func:`rankgrad.fuse.align` does it.

    Args:
        fusion: it is left as it was.
        path: the file to write; it is written only where the graph agrees with torch on random lists of six sizes.
        tolerance: largest difference allowed, relative to the largest score (but at least 1).
        opset: version of the ONNX operators.

    Raises:
        ParityError: when the graph disagrees with torch.
        MissingExtraError: without onnx, onnxscript or onnxruntime.
    """
    by_scores = fusion.log_temperatures is not None
    sizes = {"queries": 2, "documents": 5}
    axes: Axes = ("queries", fusion.lists, "documents")
    generator = torch.Generator().manual_seed(0)

    def make(wanted: Mapping[str, int], generator: torch.Generator) -> dict[str, Tensor]:
        shape = (wanted["queries"], fusion.lists, wanted["documents"])
        present = torch.rand(shape, generator=generator) < 0.7
        order = torch.rand(shape, generator=generator).masked_fill(~present, torch.inf).argsort(-1).argsort(-1)
        ranks = ((order + 1) * present).float()
        if not by_scores:
            return {"ranks": ranks}
        return {"scores": torch.randn(shape, generator=generator).masked_fill(~present, 0.0), "present": present}

    example = make(sizes, generator)
    shapes: dict[str, Axes] = {**dict.fromkeys(example, axes), "fused": ("queries", "documents")}
    graph = ByScores(fusion) if by_scores else ByRanks(fusion)
    return export_module(graph, example, path, axes=shapes, make_inputs=make, tolerance=tolerance, opset=opset)


class ByRanks(nn.Module):
    """A fusion that reads ranks; it may be any module with ``contributions``."""

    def __init__(self, fusion: Contributing) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, ranks: Tensor) -> Tensor:
        return _fused(self.fusion, ranks, ranks, ranks > 0)


class ByScores(nn.Module):
    """One that reads scores."""

    def __init__(self, fusion: Contributing) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, scores: Tensor, present: Tensor) -> Tensor:
        return _fused(self.fusion, scores, present.to(scores.dtype), present)


def _fused(fusion: Contributing, scores: Tensor, ranks: Tensor, present: Tensor) -> Tensor:
    held = present.any(dim=1)
    aligned = Aligned(held.long(), held, scores, ranks, present)
    return fusion.contributions(aligned).sum(dim=1).masked_fill(~held, -torch.inf)
