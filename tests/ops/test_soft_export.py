"""Soft ranks, sorted values and selections as ONNX graphs, run on lists of another number and another length."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rankgrad.modules.soft_ranking import SoftRank, SoftSort, SoftTopK

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

# Tracing costs by the node, so each definition is in one head: sorting by SoftSort, say, is its matrix, which ranks
# have, times values, as a selection by NeuralSort has it.
GROUPS: dict[str, dict[str, nn.Module]] = {
    "ranks": {
        "laplace": SoftRank(temperature=0.3, method="laplace"),
        "softsort": SoftRank(temperature=0.3, method="softsort", descending=False),
        "isotonic": SoftRank(temperature=0.3, method="isotonic"),
        "sinkhorn": SoftRank(temperature=0.3, method="sinkhorn", iterations=1),
        "hard": SoftRank(temperature=0.3, straight_through=True),
    },
    "sorted and selected": {
        "laplace, sorted": SoftSort(temperature=0.3, method="laplace", descending=False),
        "laplace, selected": SoftTopK(2, temperature=0.3),
        "hard": SoftTopK(1, temperature=0.3, method="neuralsort", straight_through=True),
    },
}


class Heads(nn.Module):
    def __init__(self, heads: dict[str, nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads.values())

    def forward(self, scores: Tensor, mask: Tensor) -> list[Tensor]:
        return [head(scores, mask=mask) for head in self.heads]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:# The axis name:UserWarning")
@pytest.mark.parametrize("group", GROUPS)
def test_heads_run_in_onnx(group: str) -> None:
    names, module = list(GROUPS[group]), Heads(GROUPS[group]).eval()
    axes = {0: torch.export.Dim("lists"), 1: torch.export.Dim("items", min=2)}
    example = torch.randn(3, 7), torch.rand(3, 7) < 0.8
    with torch.no_grad():
        traced = torch.export.export(module, example, dynamic_shapes=(axes, axes), strict=False)
        program = torch.onnx.export(traced, output_names=names, dynamo=True, optimize=False, verbose=False)
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    for lists, items in ((1, 2), (5, 40)):
        scores, mask = torch.randn(lists, items), torch.rand(lists, items) < 0.8
        mask[0] = True
        scores[0, 1] = scores[0, 0]
        scores = scores.masked_fill(~mask, float("nan"))
        found = session.run(names, {"scores": scores.numpy(), "mask": mask.numpy()})
        for name, mine, expected in zip(names, found, module(scores, mask), strict=True):
            apart = (torch.from_numpy(mine) - expected).abs().amax()
            assert apart <= 1e-5 * expected.abs().amax().clamp(min=1.0), name
