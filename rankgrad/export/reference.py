"""The model that an exported graph is made of and compared with."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from torch import nn

from rankgrad.models import CausalReranker, ColBERT, CrossEncoder, DenseEncoder, SparseEncoder

Ranker: TypeAlias = CrossEncoder | ColBERT
TextRanker: TypeAlias = Ranker | DenseEncoder | SparseEncoder | CausalReranker
Model = TypeVar("Model", bound=nn.Module)


def exportable(model: Model) -> Model:
    """A copy on the CPU, in eval mode and float32; ONNX Runtime's CPU kernels lack half precision."""
    return copy.deepcopy(model).cpu().float().eval()


@contextmanager
def eager_attention(model: TextRanker) -> Iterator[None]:
    """Trace plain attention: exported fused attention guards each layer against empty rows, and runs 6 % slower."""
    backbone: Any = model.backbone
    before = getattr(backbone.config, "_attn_implementation", None)
    switch = getattr(backbone, "set_attn_implementation", None)
    if switch is None or before in (None, "eager"):
        yield
        return
    switch("eager")
    try:
        yield
    finally:
        switch(before)
