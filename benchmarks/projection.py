"""Projection heads of a ColBERT: linear, deeper, gated, residual, none; the same steps, the same seeds."""

from __future__ import annotations

from benchmarks.options import Options
from benchmarks.quality import study
from benchmarks.quality_plan import Plan
from benchmarks.quality_recipes import HEADS
from benchmarks.record import Row

CASE = "projection"


def run(options: Options, plan: Plan) -> list[Row]:
    """Train rankgrad's ColBERT with every head on the built-in collection, whose texts are short."""
    return study(CASE, HEADS[::3] if options.quick else HEADS, options, plan)
