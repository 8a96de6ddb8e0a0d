"""What the command line decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PLAID, OPTIMUM = "fast-plaid", "sentence-transformers-onnx"
PEERS_APART = (PLAID, OPTIMUM)


@dataclass(frozen=True)
class Options:
    """How a case is run.

    Args:
        quick: tiny sizes and two rounds; shows that the case works, says nothing about speed.
        model: a model folder, ``"minilm"`` (the packaged one), or ``"random"`` (its shape, random weights).
        device: ``"cpu"`` or ``"cuda"``; what runs on a CPU alone is left out on ``"cuda"``.
        data: a LETOR folder for the ltr case; None = what it has itself.
        pythons: interpreters of peers that cannot be installed beside the others, by the names of ``PEERS_APART``.
    """

    quick: bool = False
    model: str = "minilm"
    device: str = "cpu"
    data: str | None = None
    pythons: Mapping[str, str] = field(default_factory=dict)
