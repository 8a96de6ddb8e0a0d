"""Packed batches on CUDA: the scores of padded ones, in float32 and through the kernel for half precision."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from rankgrad.models import CrossEncoder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: bash benchmarks/gpu.sh")

QUERIES = ["return the number of items", "open a file", "open a file", "sort by key"]
DOCUMENTS = ["a list, and its items.", "read its lines " * 4, "x", "join several strings with a separator"]


@pytest.mark.parametrize("options", [{}, {"listwise": True}, {"compress_layer": 1}])
@pytest.mark.parametrize("head", ["cls", "interaction"])
def test_scores_are_those_of_the_cpu(tiny_encoder_folder: Path, head: str, options: dict) -> None:
    model = CrossEncoder.from_pretrained(tiny_encoder_folder, head=head, padding="packed", **options)  # type: ignore[arg-type]
    there = copy.deepcopy(model).cuda()
    found = there.score(QUERIES, DOCUMENTS)
    torch.testing.assert_close(found.cpu(), model.score(QUERIES, DOCUMENTS), atol=1e-4, rtol=1e-4)
    found.sum().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in there.parameters())


def test_half_precision(tiny_encoder_folder: Path) -> None:
    packed = CrossEncoder.from_pretrained(tiny_encoder_folder, head="cls", padding="packed").cuda().bfloat16()
    padded = copy.deepcopy(packed)
    padded.padding = "grouped"
    found, expected = (model.score(QUERIES, DOCUMENTS) for model in (packed, padded))
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)
    for scores in (found, expected):
        scores.sum().backward()
    for one, other in zip(packed.parameters(), padded.parameters(), strict=True):
        if one.grad is not None and other.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, atol=5e-2, rtol=5e-2)
