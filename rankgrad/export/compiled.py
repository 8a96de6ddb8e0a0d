"""torch.compile for inference: whole graphs, and few of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType, MethodType
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from rankgrad import deploy
from rankgrad.export.files import longest
from rankgrad.export.onnx import Ranker
from rankgrad.export.token_graph import TokenGraph, as_ranker, is_listwise, kind_of, padded_forward, weights_of
from rankgrad.models import ColBERT

Backend: TypeAlias = str | Callable[..., Any]
"""A compiler: a name that torch knows, or a function that takes a graph of torch.fx and example inputs."""
Mode: TypeAlias = Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]


def compile_ranker(
    model: Ranker,
    *,
    buckets: Sequence[int] = (),
    backend: Backend = "inductor",
    mode: Mode | None = None,
) -> deploy.CrossEncoder | deploy.ColBERT:
    """Compile a ranker's graph of tokens; it scores with what ``torch.compile`` makes of it, on the model's device.

    All from tokens to the output is one graph, or compiling fails. Without buckets rows keep their lengths, and there
    are two graphs in all: one for any number of rows, one for a single row. With buckets rows are filled up to the next
    one, and each has two graphs of its own, with the length fixed: for ``mode="reduce-overhead"``, which records each
    shape as a CUDA graph, and for compilers that want to know the length.

    The first call of a graph compiles it, for seconds to a minute; ``compiled.graph.warm_up()`` has that done before
    the first request comes, and :func:`rankgrad.export.save_compile_cache` spares the next process the work.

    Args:
        model: a :class:`rankgrad.models.CrossEncoder` or :class:`rankgrad.models.ColBERT` in evaluation mode; weights
            are shared with it, not copied.
        buckets: lengths in tokens, rising, the last no shorter than the longest input of the model.
        backend, mode: as ``torch.compile`` takes them.

    Returns:
        what :func:`rankgrad.deploy.load` gives for a bundle: texts in; scores, embeddings and orders out, in numpy.

    Raises:
        TypeError: for a model of another kind.
        InputError: for a model in training mode or without a graph of padded tokens, or buckets that cannot be used.

    Example:
        >>> from rankgrad.models import CrossEncoder
        >>> model = CrossEncoder.from_pretrained("minilm")  # doctest: +SKIP
        >>> compile_ranker(model).rerank("high tide", ["the sea", "a list"])[0].index  # doctest: +SKIP
        0
    """
    kind = kind_of(model)
    graph = TokenGraph(
        _Compiled(model, buckets, backend=backend, mode=mode),
        kind=kind,
        device=model.device,
        pad_id=model.tokenizer.pad_id,
        longest=longest(model),
        buckets=buckets,
    )
    dim = model.dim if isinstance(model, ColBERT) else 1
    return as_ranker(graph, model.tokenizer, dim=dim, query_weights=weights_of(model), listwise=is_listwise(model))


class _Compiled:
    """A model's graph, compiled once for each bucket, and once for all lengths that are in none."""

    def __init__(self, model: Ranker, buckets: Sequence[int], *, backend: Backend, mode: Mode | None) -> None:
        forward = padded_forward(model)

        def compiled() -> Callable[..., Tensor]:
            return torch.compile(_own_code(forward), fullgraph=True, backend=backend, mode=mode)

        self.any_length = compiled()
        self.of_length = {length: compiled() for length in buckets}

    def __call__(self, *inputs: Tensor) -> Tensor:
        rows, length = inputs[0].shape
        fixed = length in self.of_length
        for tensor in inputs:
            # Told beforehand, torch makes a free axis free at once, not after a graph for the first size it meets.
            _mark(tensor, 0, free=rows > 1)
            _mark(tensor, 1, free=not fixed)
        # How long merged documents are is a number that comes out of a tensor, in the middle of the graph.
        with torch._dynamo.config.patch(capture_scalar_outputs=True):
            return (self.of_length[length] if fixed else self.any_length)(*inputs)


def _mark(tensor: Tensor, axis: int, *, free: bool) -> None:
    (torch._dynamo.mark_dynamic if free else torch._dynamo.mark_static)(tensor, axis)


def _own_code(method: Any) -> Callable[..., Tensor]:
    """The same method with a code object of its own: torch bounds the graphs of a code object, whoever runs it."""
    function = method.__func__
    copied = FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    return MethodType(copied, method.__self__)
