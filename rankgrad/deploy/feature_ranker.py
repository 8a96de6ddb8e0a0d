"""An exported feature ranker, or a cascade of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rankgrad._checks import InputError
from rankgrad.deploy.graph import Graph

ROWS_A_RUN = 1024


class PaddedRows(NamedTuple):
    """Padded lists of feature rows, as the graph takes them.

    Shape:
        features: float32 ``[lists, items, features]``.
        mask: bool ``[lists, items]``, True = a real item.
    """

    features: np.ndarray
    mask: np.ndarray


class _Part(NamedTuple):
    """Rows that are scored together: a list, or a piece of one where items do not see each other."""

    list: int
    start: int
    features: np.ndarray
    mask: np.ndarray


class FeatureRanker:
    """Score lists of feature rows with an exported graph; the fitted transform is inside, so pass raw features.

    What is not finite (NaN, an infinity) counts as missing, as in training. A cascade of feature rankers is one graph
    too, and listwise: what a stage drops depends on what else is in the list.

    Args:
        graph: inputs ``features`` and ``mask``; output scores ``[lists, items]``.
        features: how many a row has.
        names: of the features; None where they are not recorded.
        listwise: a score depends on the whole list; False: on its own row alone, and long lists are cut.
    """

    def __init__(
        self, graph: Graph, *, features: int, names: Sequence[str] | None = None, listwise: bool = False
    ) -> None:
        self.graph = graph
        self.features = features
        self.names = None if names is None else tuple(names)
        self.listwise = listwise

    def score(
        self,
        features: np.ndarray | Sequence[np.ndarray],
        mask: np.ndarray | None = None,
        *,
        rows_a_run: int = ROWS_A_RUN,
    ) -> np.ndarray | list[np.ndarray]:
        """Score padded lists, or lists of different lengths.

        Runs take lists of like length, the longest first, up to ``rows_a_run`` rows with their padding; of a listwise
        ranker at least one list.

        Args:
            features: one array of padded lists, or a sequence of arrays, one a list; any real numbers.
            mask: True = a real item; for padded lists only, None = all are.
            rows_a_run: rows of one run.

        Shape:
            - features ``[lists, items, features]``, mask ``[lists, items]`` -> float32 ``[lists, items]``, 0 where
              masked
            - or a sequence of ``[items, features]`` -> a list of float32 ``[items]``

        Raises:
            TypeError: for what is no array of real numbers, or a mask that is not bool.
            InputError: for another number of features, no list, a list without rows, or a mask that does not fit.
        """
        if rows_a_run < 1:
            raise InputError(f"rows_a_run={rows_a_run}: pass at least 1")
        if isinstance(features, np.ndarray):
            padded = self._padded(features, mask)
            scores = np.zeros(padded.mask.shape, dtype=np.float32)
            self._fill(list(scores), list(padded.features), list(padded.mask), rows_a_run)
            return scores
        if mask is not None:
            raise InputError("mask: lists of different lengths have no padding; leave it out, or pass one padded array")
        if isinstance(features, str) or len(features) == 0:
            raise InputError("features: no list given; pass at least one")
        lists = [self._rows(rows, f"features: list {place} (counting from 0)") for place, rows in enumerate(features)]
        found = [np.zeros(len(rows), dtype=np.float32) for rows in lists]
        self._fill(found, lists, [np.ones(len(rows), dtype=bool) for rows in lists], rows_a_run)
        return found

    def _fill(self, scores: list[np.ndarray], lists: list[np.ndarray], masks: list[np.ndarray], budget: int) -> None:
        """Enter the scores of every list's real rows."""
        parts = [part for place in range(len(lists)) for part in self._parts(place, lists[place], masks[place], budget)]
        parts.sort(key=lambda part: -len(part.mask))
        first = 0
        while first < len(parts):
            width = len(parts[first].mask)
            together = parts[first : first + max(1, budget // width)]
            found = self.graph(_pad(together, width, self.features))
            for part, row in zip(together, found, strict=True):
                scores[part.list][part.start : part.start + len(part.mask)] = row[: len(part.mask)]
            first += len(together)

    def _parts(self, place: int, rows: np.ndarray, mask: np.ndarray, budget: int) -> list[_Part]:
        """A list without the padding at its end, in pieces where its items do not see each other."""
        width = int(np.flatnonzero(mask)[-1]) + 1 if mask.any() else 0
        step = max(width, 1) if self.listwise else budget
        starts = range(0, width, step)
        return [_Part(place, at, rows[at : min(at + step, width)], mask[at : min(at + step, width)]) for at in starts]

    def _padded(self, features: np.ndarray, mask: np.ndarray | None) -> PaddedRows:
        if features.ndim != 3 or 0 in features.shape[:2]:
            raise InputError(
                f"features: expected [lists, items, {self.features}] with at least one list and item, got "
                f"{list(features.shape)}; wrap the rows of a single list in a list"
            )
        rows = self._numbers(features, "features")
        if mask is None:
            return PaddedRows(rows, np.ones(rows.shape[:2], dtype=bool))
        mask = np.asarray(mask)
        if mask.dtype != bool:
            raise TypeError(f"mask: expected bool, True = a real item, got {mask.dtype}")
        if mask.shape != rows.shape[:2]:
            raise InputError(f"mask: expected {list(rows.shape[:2])} as the features have it, got {list(mask.shape)}")
        return PaddedRows(rows, mask)

    def _rows(self, rows: object, what: str) -> np.ndarray:
        try:
            array = np.asarray(rows)
        except ValueError as error:
            raise InputError(f"{what}: its rows have different lengths; each needs {self.features} features") from error
        if array.ndim != 2 or not len(array):
            raise InputError(
                f"{what}: expected [items, {self.features}] with at least one row, got {list(array.shape)}"
            )
        return self._numbers(array, what)

    def _numbers(self, array: np.ndarray, what: str) -> np.ndarray:
        """The array in float32; numbers too large for it become infinite, so missing, as in torch."""
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{what}: expected real numbers, got {array.dtype}")
        if array.shape[-1] != self.features:
            raise InputError(f"{what}: expected {self.features} features a row, got {array.shape[-1]}")
        with np.errstate(over="ignore"):
            return array.astype(np.float32)


def _pad(parts: Sequence[_Part], width: int, features: int) -> PaddedRows:
    padded = PaddedRows(np.zeros((len(parts), width, features), np.float32), np.zeros((len(parts), width), bool))
    for place, part in enumerate(parts):
        padded.features[place, : len(part.mask)] = part.features
        padded.mask[place, : len(part.mask)] = part.mask
    return padded
