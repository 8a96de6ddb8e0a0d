"""Documents of every process as candidates of every query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import pad

from rankgrad._checks import InputError
from rankgrad.data.collate import ListBatch, TextTokens
from rankgrad.training._row_numbers import mixed
from rankgrad.training.grad_cache import Embedded, split_features, split_model


class Candidates(NamedTuple):
    """The queries of this process against the documents of all.

    Shape:
        scores: float32 ``[queries, documents of all processes]``; labels, mask: the same.
        weight: ``[]`` or a number, what the loss of this process is multiplied with.
    """

    scores: Tensor
    labels: Tensor
    mask: Tensor
    weight: Tensor | float


def across_processes(model: nn.Module, embedded: Embedded, batch: ListBatch) -> Candidates:
    """Score this process's queries against the documents of all processes; gradients reach the documents' owners.

    A document that several processes have is a candidate once: as this process's own, else the lowest rank's. One that
    any process's list grades above 0 for the same query is no negative of it. Texts are the same where their tokens
    are.

    The scaling rule: DDP and FSDP average gradients over the W processes, and the gather sums them over the losses that
    a document takes part in. So with ``weight = W q / (sum of all q)``, q being the number of this process's lists with
    a relevant candidate, the gradient is that of one process with all lists; where all processes have equally many,
    ``weight`` is 1.

    Args:
        model: a :class:`rankgrad.training.grad_cache.SplitModel`.
        embedded: of this process, by :func:`rankgrad.training.grad_cache.embed`.
        batch: collated with ``in_batch_negatives=True``.

    Raises:
        InputError: without a process group, or for lists that have candidates of their own.
    """
    check_process_group()
    features = split_features(batch.features)
    if features.slots is not None:
        raise InputError(
            "cross_device_negatives=True, but each list keeps to its own candidates: set data.in_batch_negatives=true"
        )
    parts = all_gather_rows(_stacked(embedded.documents))
    masks = all_gather_rows(_stacked([group.scored.to(torch.uint8) for group in embedded.groups]))
    groups = [(part, mask.bool()) for part, mask in zip(parts, masks, strict=True)]
    scores = split_model(model).compare(embedded.queries, features.queries.scored, groups)
    labels, mask = _labels_and_mask(batch, features.queries, embedded.groups)
    counted = ((batch.labels > 0) & batch.mask).any(dim=-1).sum().float()
    total = counted.clone()
    distributed.all_reduce(total)
    weight = distributed.get_world_size() * counted / total.clamp(min=1)
    return Candidates(scores, labels, mask, weight)


def check_process_group() -> None:
    """Refuse to share among processes where there is one alone.

    Raises:
        InputError: without a process group.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        raise InputError(
            "cross_device_negatives=True needs a process group: set trainer.strategy=ddp and trainer.devices to the "
            "number of processes, or leave it out"
        )


def all_gather_rows(rows: Tensor) -> list[Tensor]:
    """The rows of every process, by rank; sizes may differ in every axis, the number of axes may not.

    Differentiable: a process receives the sum of the gradients that all processes have for its rows.

    Shape:
        rows ``[rows, ...]`` -> one such tensor a process.
    """
    sizes = _gather(torch.tensor(rows.shape, device=rows.device))
    largest = sizes.amax(dim=0).tolist()
    padding = [size for axis in reversed(range(rows.ndim)) for size in (0, largest[axis] - rows.shape[axis])]
    padded = pad(rows, padding)
    gathered = _AllGather.apply(padded) if rows.is_floating_point() else _gather(padded)
    return [part[tuple(map(slice, size))] for part, size in zip(gathered, sizes.tolist(), strict=True)]


def text_ids(tokens: TextTokens) -> Tensor:
    """A number a row that depends on its attended tokens and their places only: int64 ``[rows]``.

    Example:
        >>> ids = torch.tensor([[5, 6, 0], [6, 5, 0], [5, 6, 9]])
        >>> mask = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 1, 0]])
        >>> first, second, third = text_ids(TextTokens(ids, mask, ids, mask.bool())).tolist()
        >>> first == third, first == second
        (True, False)
    """
    places = torch.arange(tokens.input_ids.shape[1], device=tokens.input_ids.device)
    return (mixed(tokens.input_ids * 0x1_0000_0001 + places + 1) * tokens.attention_mask).sum(dim=-1)


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        return _gather(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[distributed.get_rank()]


def _gather(rows: Tensor) -> Tensor:
    """Equally large tensors of all processes: ``[processes, ...]``."""
    parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, rows.contiguous())
    return torch.stack(parts)


def _labels_and_mask(batch: ListBatch, queries: TextTokens, groups: Sequence[TextTokens]) -> tuple[Tensor, Tensor]:
    """This process's labels, 0 for all other documents; the mask leaves out repetitions and false negatives."""
    rank = distributed.get_rank()
    own = torch.cat([text_ids(group) for group in groups])
    documents = all_gather_rows(own)
    query_ids = mixed(text_ids(queries))
    row, column = ((batch.labels > 0) & batch.mask).nonzero(as_tuple=True)
    relevant = torch.cat(all_gather_rows(query_ids[row] + own[column]))
    labels, masks, seen = [], [], [own]
    for other, ids in enumerate(documents):
        excluded = torch.isin(query_ids.unsqueeze(1) + ids, relevant)
        if other == rank:
            labels.append(batch.labels)
            masks.append(batch.mask & ((batch.labels > 0) | ~excluded))
            continue
        labels.append(batch.labels.new_zeros(excluded.shape))
        masks.append(~excluded & ~torch.isin(ids, torch.cat(seen)))
        seen.append(ids)
    return torch.cat(labels, dim=1), torch.cat(masks, dim=1)


def _stacked(groups: Sequence[Tensor]) -> Tensor:
    """All rows in one tensor, groups of tokens padded to the widest."""
    width = max(group.shape[1] for group in groups)
    return torch.cat([pad(group, (0, 0) * (group.ndim - 2) + (0, width - group.shape[1])) for group in groups])
