"""A module of torch that answers as an exported graph does: padded rows in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.data.collate import TextTokens
from rankgrad.export.pair_graph import PairGraph
from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.models._batches import on_device
from rankgrad.tokens import LateInteractionTokenizer, PairTokenizer, Tokens

INPUTS = {
    "cross_encoder": ("input_ids", "attention_mask", "token_type_ids"),
    "colbert": ("input_ids", "attention_mask"),
    "dense_encoder": ("input_ids", "attention_mask"),
    "sparse_encoder": ("input_ids", "attention_mask"),
}
"""What the graph of a model of this kind takes, in its order."""

# As many as a CPU's caches hold; other devices like larger batches.
_CPU_TOKENS, _ROWS = 2048, 32
# A compiler takes a size of 0 or 1 for a fixed one.
_NARROWEST = 2


class TokenGraph:
    """Run a function of padded tokens as :class:`rankgrad.deploy.Graph` runs an ONNX file.

    Args:
        run: what :func:`padded_forward` gives, or what was made of it.
        kind: of the model, one of ``INPUTS``.
        device: where the inputs go.
        pad_id: fills rows up to a bucket.
        longest: tokens of the longest input.
        buckets: lengths that rows are filled up to, rising; none = rows stay as long as the longest of a run.

    Raises:
        InputError: for buckets that do not rise, or that the longest input does not fit.
    """

    def __init__(
        self,
        run: Callable[..., Tensor],
        *,
        kind: str,
        device: torch.device,
        pad_id: int,
        longest: int,
        buckets: Sequence[int] = (),
    ) -> None:
        self.buckets = checked_buckets(buckets, longest)
        self.inputs = INPUTS[kind]
        self._by_token = kind == "colbert"
        self.device = device
        self.longest = longest
        self._run = run
        self.pad_id = pad_id

    def __call__(self, rows: Tokens) -> np.ndarray:
        """Run one padded batch as it is: the output, float32."""
        every = np.arange(len(rows.input_ids))
        return self._batch(on_device(rows, every, self.device))

    def batches(self, tokens: Tokens, *, batch_size: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Run many rows in batches of one bucket each, the longest first.

        Args:
            tokens: the rows.
            batch_size: rows of a batch; None = 32, or on a CPU as many as make 2048 tokens.

        Yields:
            row numbers and the output for these rows.
        """
        used = tokens.attention_mask.astype(bool) | tokens.scored
        widths = np.where(used.any(axis=1), used.shape[1] - np.argmax(used[:, ::-1], axis=1), 1)
        filled = np.array([self.width(int(width)) for width in widths], dtype=np.int64)
        order = np.argsort(-filled, kind="stable")
        start = 0
        while start < len(order):
            width = int(filled[order[start]])
            size = batch_size or (max(1, _CPU_TOKENS // width) if self.device.type == "cpu" else _ROWS)
            # Rows of another bucket would be filled up for nothing.
            alike = int((filled[order[start : start + size]] == width).sum()) if self.buckets else size
            rows = order[start : start + alike]
            yield rows, self._batch(on_device(tokens, rows, self.device))
            start += len(rows)

    def width(self, tokens: int) -> int:
        """The length that so many tokens are filled up to."""
        return next((bucket for bucket in self.buckets if bucket >= tokens), max(tokens, _NARROWEST))

    def warm_up(self) -> None:
        """Run every bucket with one row and with several, so that no later call has to compile or load."""
        for width in self.buckets or (self.longest,):
            for rows in (2, 1):
                ids = np.full((rows, width), self.pad_id, dtype=np.int64)
                ones = np.ones_like(ids)
                self(Tokens(ids, ones, np.zeros_like(ids), ones.astype(bool)))

    @torch.inference_mode()
    def _batch(self, batch: TextTokens) -> np.ndarray:
        came = batch.input_ids.shape[1]
        more = self.width(came) - came
        fills = {name: self.pad_id if name == "input_ids" else 0 for name in self.inputs}
        found = self._run(*(pad(getattr(batch, name), (0, more), value=fill) for name, fill in fills.items()))
        return (found[:, :came] if self._by_token else found).float().cpu().numpy()


def checked_buckets(buckets: Sequence[int], longest: int) -> tuple[int, ...]:
    """The buckets, when they can be used.

    Raises:
        InputError: for buckets that do not rise from 2, or that the longest input does not fit.
    """
    found = tuple(buckets)
    if found and (list(found) != sorted(set(found)) or found[0] < _NARROWEST):
        raise InputError(f"buckets={found}: pass lengths that rise, each at least {_NARROWEST}")
    if found and found[-1] < longest:
        raise InputError(f"buckets={found}: the model reads up to {longest} tokens; add a bucket of that length")
    return found


def kind_of(model: CrossEncoder | ColBERT) -> str:
    """``cross_encoder`` or ``colbert``.

    Raises:
        TypeError: for a model of another kind.
        InputError: for a model in training mode, or one that has no graph of padded tokens.
    """
    if not isinstance(model, CrossEncoder | ColBERT):
        raise TypeError(f"model: expected a CrossEncoder or a ColBERT, got {type(model).__name__}")
    if model.training:
        raise InputError("model: it is in training mode, and dropout would be compiled in; call model.eval() first")
    if isinstance(model, CrossEncoder):
        return "cross_encoder"
    if model.pruner is not None:
        raise InputError("model: its graph would keep all tokens, and this model prunes some; set model.pruner = None")
    return "colbert"


def padded_forward(model: CrossEncoder | ColBERT) -> Callable[..., Tensor]:
    """A method of a module that reads padded rows: what is compiled. Weights are the model's own."""
    if isinstance(model, CrossEncoder) and model.options.packed_only:
        return PairGraph(model, model.encoder.depth).forward
    return model.forward_tokens


def is_listwise(model: nn.Module) -> bool:
    """Whether the candidates of a query must be scored in one run."""
    return isinstance(model, CrossEncoder) and model.listwise


def as_ranker(
    graph: TokenGraph,
    tokenizer: PairTokenizer | LateInteractionTokenizer,
    *,
    dim: int,
    query_weights: np.ndarray | None = None,
    listwise: bool = False,
) -> deploy.CrossEncoder | deploy.ColBERT:
    """Texts in, scores out, by the same code as an exported bundle."""
    runner = cast(deploy.Graph, graph)
    if isinstance(tokenizer, PairTokenizer):
        return deploy.CrossEncoder(runner, tokenizer, listwise=listwise)
    return deploy.ColBERT(runner, tokenizer, dim=dim, query_weights=query_weights)


def weights_of(model: ColBERT | CrossEncoder) -> np.ndarray | None:
    """The weights of a ColBERT's query tokens, where it has any."""
    weights = model.query_weights if isinstance(model, ColBERT) else None
    return None if weights is None else weights.table.float().cpu().numpy()
