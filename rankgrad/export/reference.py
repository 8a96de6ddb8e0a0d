"""The model that an exported graph is made of and compared with."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from torch import nn

from rankgrad.models import CausalReranker, ColBERT, CrossEncoder, DenseEncoder, SparseEncoder
from rankgrad.modules import guarded_attention

Ranker: TypeAlias = CrossEncoder | ColBERT
TextRanker: TypeAlias = Ranker | DenseEncoder | SparseEncoder | CausalReranker
Model = TypeVar("Model", bound=nn.Module)


def exportable(model: Model) -> Model:
    """A copy on the CPU, in eval mode and float32; ONNX Runtime's CPU kernels lack half precision."""
    return copy.deepcopy(model).cpu().float().eval()


@contextmanager
def eager_attention(model: TextRanker) -> Iterator[None]:
    """Trace plain attention: exported fused attention guards each layer against empty rows, and runs 6 % slower.

    An encoder with windows has such rows, tokens with none that is read within reach, and is traced with a guard.
    """
    backbone: Any = model.backbone
    before = getattr(backbone.config, "_attn_implementation", None)
    switch = getattr(backbone, "set_attn_implementation", None)
    if switch is None or before in (None, "eager"):
        yield
        return
    windows = "sliding_attention" in (getattr(backbone.config, "layer_types", None) or ())
    if windows and not isinstance(model, CausalReranker):
        guarded_attention.register()
        switch(guarded_attention.NAME)
    else:
        switch("eager")
    try:
        yield
    finally:
        switch(before)
