"""What the timed MaxSim cases have in common: passes, settings, and how a parent and its workers speak of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from benchmarks.maxsim_data import Shape
from benchmarks.maxsim_providers import Provider, reranking, soft, training

RERANK, IN_BATCH, SOFT = "maxsim_rerank", "maxsim_in_batch", "maxsim_soft"
PEAK = "peak memory of a step beyond the inputs"
PEAK_RATIO = "peak memory of a step over inputs and outputs"


class Pass(NamedTuple):
    """What is inside the clock: scores without a gradient, scores that may be differentiated, or both passes."""

    metric: str
    gradient: bool
    backward: bool


QUERY = Pass("time a query", gradient=False, backward=False)
FORWARD = Pass("time of the forward pass", gradient=True, backward=False)
BOTH = Pass("time of forward and backward", gradient=True, backward=True)


class Setting(NamedTuple):
    """A case's shape, and the microseconds that its passes are meant to take on an H200, by their metric."""

    case: str
    shape: Shape
    targets: dict[str, float]

    @property
    def passes(self) -> tuple[Pass, ...]:
        """What is timed in this case."""
        if self.case == RERANK:
            return (QUERY,)
        return (BOTH,) if self.case == SOFT else (FORWARD, BOTH)

    def providers(self, device: str) -> list[Provider]:
        """Who is measured in this case; the first is the first of ours."""
        ragged = self.shape.shortest > 0
        if self.case == RERANK:
            return reranking(device=device, ragged=ragged)
        return soft(device=device) if self.case == SOFT else training(device=device, ragged=ragged)

    def name(self, device: str, threads: int) -> str:
        """What its rows are called."""
        where = "bf16" if device != "cpu" else f"fp32, {threads} thread{'s' if threads > 1 else ''}"
        return f"{self.shape.name}, {where}"


def parsed(setting: list[Any]) -> Setting:
    """A setting from a job's JSON."""
    case, shape, targets = setting
    return Setting(case, Shape(*shape), targets)


def peak_ratio(shape: Shape, growth: float, *, element: int) -> float:
    """What is held at the peak over what must be held: operands, their gradients, scores.

    Args:
        growth: MiB beyond the operands.
        element: bytes of a number of the operands.
    """
    operands = shape.dim * (shape.queries * shape.query_tokens + shape.documents * shape.document_tokens) * element
    return (operands + growth * 2**20) / (2 * operands + 4 * shape.queries * shape.documents)
