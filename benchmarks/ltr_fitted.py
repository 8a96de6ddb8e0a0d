"""What any system gives back when it is trained on a fold."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Fitted(NamedTuple):
    """Its best nDCG@10 of the validation queries, the scores of the test rows, and what training took."""

    validation: float
    scores: Tensor
    seconds: float
