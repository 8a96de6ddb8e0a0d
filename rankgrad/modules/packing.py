"""Sequences of tokens end to end, without padding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor


class Run(NamedTuple):
    """Sequences of one length that lie next to each other.

    Args:
        first: the first sequence.
        count: how many.
        width: tokens of each.
        start: the first token of the first.
    """

    first: int
    count: int
    width: int
    start: int


@dataclass(frozen=True)
class Layout:
    """Where each sequence lies in a packed row of tokens.

    Args:
        lengths: tokens of each sequence, at least 1.
        device: of the tokens.

    Example:
        >>> layout = Layout((2, 1), torch.device("cpu"))
        >>> layout.cu_seqlens.tolist(), layout.positions.tolist(), layout.owners.tolist()
        ([0, 2, 3], [0, 1, 0], [0, 0, 1])
        >>> layout.pad(torch.tensor([5, 6, 7])).tolist()
        [[5, 6], [7, 0]]
    """

    lengths: tuple[int, ...]
    device: torch.device

    @classmethod
    def of(cls, attention_mask: Tensor) -> Layout:
        """That of the tokens ``values[attention_mask.bool()]`` of padded rows.

        Shape:
            attention_mask: ``[rows, tokens]``, not 0 = a token; at least one a row
        """
        return cls(tuple(attention_mask.bool().sum(1).tolist()), attention_mask.device)

    @property
    def total(self) -> int:
        """Tokens of all sequences."""
        return sum(self.lengths)

    @property
    def width(self) -> int:
        """Tokens of the longest sequence."""
        return max(self.lengths)

    @cached_property
    def cu_seqlens(self) -> Tensor:
        """int32 ``[sequences + 1]``; sequence i owns tokens ``cu_seqlens[i]:cu_seqlens[i + 1]``."""
        lengths = torch.tensor((0, *self.lengths), device=self.device)
        return lengths.cumsum(0).to(torch.int32)

    @cached_property
    def starts(self) -> Tensor:
        """The first token of each sequence, int64 ``[sequences]``."""
        return self.cu_seqlens[:-1].long()

    @cached_property
    def owners(self) -> Tensor:
        """The sequence of each token, int64 ``[total]``."""
        lengths = torch.tensor(self.lengths, device=self.device)
        numbers = torch.arange(len(self.lengths), device=self.device)
        return torch.repeat_interleave(numbers, lengths, output_size=self.total)

    @cached_property
    def positions(self) -> Tensor:
        """The place of each token in its sequence, int64 ``[total]``."""
        return torch.arange(self.total, device=self.device) - self.starts[self.owners]

    @cached_property
    def real(self) -> Tensor:
        """bool ``[sequences, width]``: True where a padded row holds a token."""
        lengths = torch.tensor(self.lengths, device=self.device)
        return torch.arange(self.width, device=self.device) < lengths[:, None]

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The sequences as runs of equal lengths, in order."""
        found: list[Run] = []
        start = 0
        for number, length in enumerate(self.lengths):
            if found and found[-1].width == length:
                found[-1] = found[-1]._replace(count=found[-1].count + 1)
            else:
                found.append(Run(number, 1, length, start))
            start += length
        return tuple(found)

    def pad(self, values: Tensor) -> Tensor:
        """Give each sequence a row: ``[total, ...]`` -> ``[sequences, width, ...]``, zeros behind its tokens."""
        rows = values.new_zeros((len(self.lengths), self.width, *values.shape[1:]))
        rows[self.owners, self.positions] = values
        return rows


@dataclass(frozen=True)
class PackedSides:
    """What is known of each token of packed (query, document) pairs.

    Shape:
        document_side: bool ``[total]``, True = the second text of its pair.
        words: bool ``[total]``, True = no special token.
    """

    layout: Layout
    document_side: Tensor
    words: Tensor

    @classmethod
    def of_texts(cls, layout: Layout) -> PackedSides:
        """Those of single texts, all of whose tokens are words."""
        words = torch.ones(layout.total, dtype=torch.bool, device=layout.device)
        return cls(layout, ~words, words)
