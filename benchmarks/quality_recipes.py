"""How each system trains: ours, the peers by their own documentation, and what else was tried."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.machine import slug

Library = Literal["rankgrad", "sentence_transformers", "pylate"]
Loss = Literal["softmax", "in-batch", "bce", "lambda", "kl"]
Head = Literal["none", "linear", "linear, random start", "2 layers", "3 layers", "GLU", "SwiGLU", "residual"]
PairHead = Literal["interaction", "mean", "cls"]

# Tokens, special ones included: of a query and a document read apart, and of both together. The same for every library.
QUERY_LENGTH, DOCUMENT_LENGTH, PAIR_LENGTH = 48, 256, 256
DIM = 128


@dataclass(frozen=True)
class Recipe:
    """One system: a library, a model and a way to train it.

    Args:
        name: as tables show it.
        library: whose model, trainer and loss.
        pair: read query and document together (a cross-encoder), or apart (late interaction).
        loss: ``softmax`` over a list's own documents, ``in-batch`` over all documents of the batch; ``kl`` is
            rankgrad's distillation from a ColBERT that it trains in the first half of the budget.
        head: what follows the encoder: a projection, or the head of a cross-encoder.
        negatives: BM25's documents a training list.
        last_rank: the last rank of BM25 that may become a negative.
        batch: lists a step.
        rate: peak learning rate.
        head_rate: peak learning rate of the head, where it has one of its own.
        kept: the share of what training changed that is kept, see :func:`rankgrad.training.blend_weights`.
        weighed: weigh query tokens by their inverse document frequencies, after training.
    """

    name: str
    library: Library
    pair: bool
    loss: Loss
    head: Head | PairHead
    negatives: int = 3
    last_rank: int = 100
    batch: int = 16
    rate: float = 5e-5
    head_rate: float | None = None
    kept: float = 1.0
    weighed: bool = False

    @property
    def key(self) -> str:
        """The name for a file and for ``--only``."""
        return slug(self.name)


LATE = Recipe(
    "rankgrad ColBERT", "rankgrad", pair=False, loss="in-batch", head="none", negatives=1, kept=0.5, weighed=True
)  # fmt: skip
LATE_3 = replace(LATE, name="rankgrad ColBERT, 3 negatives", negatives=3)
AS_TRAINED = replace(LATE, name="rankgrad ColBERT, as trained", negatives=3, kept=1.0, weighed=False)
CROSS = Recipe(
    "rankgrad cross-encoder", "rankgrad", pair=True, loss="softmax", head="interaction", negatives=5, last_rank=50,
    batch=8, head_rate=1e-3,
)  # fmt: skip

# Peers. Late interaction: a new linear layer to 128, in-batch negatives with hard ones, temperature 1, batches without
# duplicates, as both document it; "no projection" gives sentence-transformers what ours has. Cross-encoders: binary
# cross-entropy with the number of negatives as the weight of the positive one, also in smaller and so more steps, and
# LambdaLoss, "better than the other losses" by their documentation. 5e-5 is their trainers' default; PyLate's example
# has 3e-6 for 500,000 rows, with which a model hardly moves in minutes.
SYSTEMS = (
    LATE,
    LATE_3,
    AS_TRAINED,
    replace(AS_TRAINED, name="rankgrad ColBERT, 128 dimensions", head="linear"),
    Recipe("sentence-transformers MultiVectorEncoder", "sentence_transformers", False, "in-batch", "linear"),
    Recipe(
        "sentence-transformers MultiVectorEncoder, no projection", "sentence_transformers", False, "in-batch", "none"
    ),
    Recipe("PyLate ColBERT", "pylate", pair=False, loss="in-batch", head="linear"),
    CROSS,
    replace(
        CROSS, name="sentence-transformers CrossEncoder, BCE", library="sentence_transformers", loss="bce", head="cls",
        head_rate=None,
    ),
    replace(
        CROSS, name="sentence-transformers CrossEncoder, BCE, 16 pairs a step", library="sentence_transformers",
        loss="bce", head="cls", head_rate=None, negatives=3, batch=4,
    ),
    replace(
        CROSS, name="sentence-transformers CrossEncoder, LambdaLoss", library="sentence_transformers", loss="lambda",
        head="cls", head_rate=None,
    ),
)  # fmt: skip

_PAIR_HEADS: tuple[PairHead, ...] = ("interaction", "mean", "cls")
_PAIR_LOSSES: tuple[Loss, ...] = ("softmax", "bce", "lambda")

# What was tried of rankgrad; the first of each kind is what SYSTEMS has.
VARIANTS = (
    AS_TRAINED,
    replace(LATE, name="rankgrad ColBERT, half of the change", weighed=False),
    replace(LATE, name="rankgrad ColBERT, weighed queries", kept=1.0),
    replace(LATE, name="rankgrad ColBERT, untrained, weighed queries", kept=0.0),
    replace(AS_TRAINED, name="rankgrad ColBERT, untrained", kept=0.0),
    replace(AS_TRAINED, name="rankgrad ColBERT, in-batch negatives alone", negatives=0),
    replace(AS_TRAINED, name="rankgrad ColBERT, 1 BM25 negative", negatives=1),
    replace(AS_TRAINED, name="rankgrad ColBERT, 7 BM25 negatives", negatives=7, batch=8),
    replace(AS_TRAINED, name="rankgrad ColBERT, BM25 negatives alone", loss="softmax"),
    replace(
        AS_TRAINED, name="rankgrad ColBERT, KL from itself and BM25", loss="kl", negatives=7, last_rank=20, batch=8
    ),
    CROSS,
    *(
        replace(CROSS, name=f"rankgrad cross-encoder, {head}, {loss}", head=head, loss=loss)
        for head in _PAIR_HEADS
        for loss in _PAIR_LOSSES
        if (head, loss) != (CROSS.head, CROSS.loss)
    ),
    replace(CROSS, name="rankgrad cross-encoder, interaction, 10 negatives", negatives=10, batch=4),
    replace(CROSS, name="rankgrad cross-encoder, KL from a ColBERT", loss="kl", last_rank=20),
)

_HEADS: tuple[Head, ...] = (
    "linear",
    "linear, random start",
    "2 layers",
    "3 layers",
    "GLU",
    "SwiGLU",
    "residual",
    "none",
)
HEADS = tuple(replace(AS_TRAINED, name=f"rankgrad ColBERT, {head}", head=head, negatives=1) for head in _HEADS)
