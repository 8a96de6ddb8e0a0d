"""Several rankings over the union of their documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops import RankFunction
from rankgrad.ops._arguments import accumulate
from rankgrad.ops._order import readable
from rankgrad.types import Ranking

# Where the greatest id is below so many times the entries of a query, a table of ids is faster than to sort them.
_TABLED = 4


class Aligned(NamedTuple):
    """Each query's documents, every one once, beside what each list says of it.

    Shape:
        ids: int64 ``[queries, documents]``, ascending; -1 where ``mask`` is False.
        mask: bool ``[queries, documents]``, True = a real document.
        scores: ``[queries, lists, documents]``, 0 where the list does not hold the document.
        ranks: ``[queries, lists, documents]``, 1-based, 0 where the list does not hold the document.
        present: bool ``[queries, lists, documents]``, True = the list holds the document.
    """

    ids: Tensor
    mask: Tensor
    scores: Tensor
    ranks: Tensor
    present: Tensor

    @property
    def held(self) -> Tensor:
        """``present`` as 1 and 0: to multiply takes a tenth of the time of choosing by a mask without a pattern."""
        return as_numbers(self.present, self.scores.dtype)


def align(rankings: Sequence[Ranking], *, ranker: RankFunction | None = None) -> Aligned:
    """Put rankings side by side: one sort of the ids of a query, a table of them only where they are few.

    A document's rank in a list is its place among the list's real documents, whatever the scores: a list that came with
    ties keeps the order it came in.

    Args:
        rankings: one a list, of the same queries; lengths may differ. What lies on other devices goes to the first's.
        ranker: takes the ranks from the scores instead; a soft one makes them differentiable.

    Shape:
        see :class:`Aligned`; scores float32 (float64 for float64).

    Raises:
        InputError: without a ranking, for rankings of different queries, a document twice in one list, a score that is
            NaN, or an id that is no row number.

    Example:
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool))
        >>> other = Ranking(torch.tensor([[3]]), torch.tensor([[0.5]]), torch.ones(1, 1, dtype=torch.bool))
        >>> aligned = align([one, other])
        >>> aligned.ids, aligned.ranks
        (tensor([[3, 7]]), tensor([[[2., 1.],
                 [1., 0.]]]))
    """
    check_rankings(rankings)
    return align_checked(on_one_device(rankings), ranker=ranker)


def on_one_device(rankings: Sequence[Ranking]) -> list[Ranking]:
    """The rankings on the device of the first one: stages run where they like, a FAISS or Qdrant one on the CPU.

    Example:
        >>> one = Ranking(torch.tensor([[7]]), torch.tensor([[2.0]]), torch.ones(1, 1, dtype=torch.bool))
        >>> on_one_device([one, one])[1].ids.device
        device(type='cpu')
    """
    device = rankings[0].ids.device
    return [Ranking(*(field.to(device) for field in ranking)) for ranking in rankings]


def align_checked(rankings: Sequence[Ranking], *, ranker: RankFunction | None = None) -> Aligned:
    """:func:`align` of rankings on one device that :func:`check_rankings` has seen."""
    ids, mask = (torch.cat(parts, dim=1) for parts in ([r.ids for r in rankings], [r.mask for r in rankings]))
    # Masked places share one id beyond all others: they fill the last column of a query, where it has any.
    ids, beyond = _with_masked_last(ids, mask)
    columns = _columns(ids, beyond)
    width = int(columns.amax()) + 1 if columns.numel() else 0
    union = torch.full_like(ids[:, :1], beyond).repeat(1, width).scatter_(1, columns, ids)
    real = union < beyond
    documents = int(real.sum(dim=1).amax()) if real.numel() else 0
    starts = torch.cat([torch.full((r.ids.shape[1],), place * width) for place, r in enumerate(rankings)])
    columns += starts.to(ids.device)

    def spread(values: Tensor) -> Tensor:
        table = values.new_zeros(len(ids), len(rankings) * width).scatter_(1, columns, values)
        return table.view(len(ids), len(rankings), width)[:, :, :documents]

    scores, ranks = (
        spread(torch.cat(parts, dim=1)) for parts in zip(*(_entries(r, ranker) for r in rankings), strict=True)
    )
    present = ranks > 0
    if int(present.count_nonzero()) != int(mask.count_nonzero()):
        _refuse_repeated(rankings)
    real = real[:, :documents]
    return Aligned(union[:, :documents].masked_fill(~real, -1), real, scores, ranks, present)


def as_numbers(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """1 where True, 0 where False.

    Example:
        >>> as_numbers(torch.tensor([True, False]), torch.float32)
        tensor([1., 0.])
    """
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        # ONNX has no view of another type.
        return mask.to(dtype)
    # From bytes a conversion is vectorised, from bool it is not.
    return mask.view(torch.uint8).to(dtype)


def check_rankings(rankings: Sequence[Ranking]) -> None:
    """Refuse what cannot be fused.

    Raises:
        InputError: without a ranking, for rankings of different queries, or a score that is NaN.
    """
    if isinstance(rankings, Ranking) or len(rankings) == 0:
        raise InputError("rankings: expected a sequence of at least one Ranking: wrap a single one in a list")
    for place, ranking in enumerate(rankings):
        if ranking.ids.shape[0] != rankings[0].ids.shape[0]:
            raise InputError(
                f"rankings: list {place} answers {ranking.ids.shape[0]} queries, list 0 {rankings[0].ids.shape[0]}: "
                "fuse rankings of the same queries"
            )
        # A sum that is a number has no NaN in it, and takes a fraction of the time to look at.
        scores = ranking.scores.detach()
        if bool(scores.sum().isnan()) and bool((scores.isnan() & ranking.mask).any()):
            raise InputError(f"rankings: a score of list {place} is NaN: leave the document out or mend the stage")


def _entries(ranking: Ranking, ranker: RankFunction | None) -> tuple[Tensor, Tensor]:
    """Scores and ranks of one list's places, both 0 at masked ones."""
    scores, mask = accumulate(ranking.scores, "scores"), ranking.mask
    if bool(mask.all()):
        places = torch.arange(1, mask.shape[1] + 1, dtype=scores.dtype, device=scores.device).expand_as(scores)
    else:
        scores, places = scores.masked_fill(~mask, 0.0), (mask.cumsum(dim=1) * mask).to(scores.dtype)
    return scores, places if ranker is None else ranker(scores, mask=mask)


def _with_masked_last(ids: Tensor, mask: Tensor) -> tuple[Tensor, int]:
    """Ids with one beyond all others in masked places, and that id."""
    if not ids.numel():
        return ids, 0
    low, high = (int(end) for end in ids.masked_fill(~mask, 0).aminmax())
    limit = (1 << (63 - _bits(ids))) - 1
    if low < 0 or high >= limit:
        raise InputError(f"ids: expected row numbers from 0 to {limit - 1}: number the documents")
    return ids.masked_fill(~mask, high + 1), high + 1


def _columns(ids: Tensor, beyond: int) -> Tensor:
    """Which of the different ids of its row, in their order, each is; none is greater than ``beyond``."""
    if beyond < _TABLED * ids.shape[1]:
        found = torch.zeros(len(ids), beyond + 1, dtype=torch.bool, device=ids.device).scatter_(1, ids, True)
        return found.cumsum(dim=1).sub_(1).gather(1, ids)
    # An id and its place make one number: sorting those alone is twice as fast as sorting ids with their places, and on
    # a CPU numpy takes half of torch's time.
    bits = _bits(ids)
    packed = (ids << bits) | torch.arange(ids.shape[1], device=ids.device)
    packed = packed.int() if (beyond + 1) << bits <= 1 << 31 else packed
    if readable(packed):
        packed.numpy().sort(axis=1)
    else:
        packed = packed.sort(dim=1).values
    found, order = packed >> bits, packed & ((1 << bits) - 1)
    first = torch.ones(found.shape, dtype=torch.bool, device=ids.device)
    torch.ne(found[:, 1:], found[:, :-1], out=first[:, 1:])
    columns = first.cumsum(dim=1).sub_(1)
    return torch.empty_like(columns).scatter_(1, order.long(), columns)


def _bits(ids: Tensor) -> int:
    """How many a place in a row takes."""
    return max(ids.shape[1] - 1, 0).bit_length()


def _refuse_repeated(rankings: Sequence[Ranking]) -> None:
    for place, ranking in enumerate(rankings):
        for query, (ids, mask) in enumerate(zip(ranking.ids, ranking.mask, strict=True)):
            names, counts = ids[mask].unique(return_counts=True)
            if bool((counts > 1).any()):
                name = int(names[counts > 1][0])
                raise InputError(
                    f"rankings: list {place} holds document {name} of query {query} more than once: give it once a list"
                )
    raise InputError("ranker: it gave a real document rank 0 or less: give ranks from 1")
