"""What the card of a cascade of feature rankers says of its stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rankgrad.export.card_tables import table

_LISTED_COLUMNS = 20


def cascade_section(cascade: dict[str, Any]) -> str:
    """The stages: what each reads, how many items it scores, what they cost.

    Args:
        cascade: ``cutoffs`` of all stages but the last, and of each stage ``costs``, ``columns`` and ``hidden``.
    """
    cutoffs, costs = cascade["cutoffs"], cascade["costs"]
    sizes = ["all n", *(f"the best {k} of stage {stage}" for stage, k in enumerate(cutoffs, 1))]
    rows = [
        (str(stage), _columns(columns), " > ".join(map(str, hidden)), size, f"{cost:g}")
        for stage, (columns, hidden, size, cost) in enumerate(
            zip(cascade["columns"], cascade["hidden"], sizes, costs, strict=True), 1
        )
    ]
    later = " + ".join(f"{cost:g} x {k}" for cost, k in zip(costs[1:], cutoffs, strict=True))
    return f"""
## Stages

{table(("stage", "features", "hidden", "items scored", "milliseconds an item"), rows)}

The cut-offs are fixed in the graph. A list of n items costs {costs[0]:g} n + {later} milliseconds by the costs that the
cascade was trained with; where n is below a cut-off the later stages score n. The graph fills shorter lists up to the
cut-off, so that they take as long. What a stage drops stands below all that it hands on, in that stage's order: scores
there fall in steps of at least 1 and say nothing but that order.
"""


def _columns(columns: Sequence[int] | None) -> str:
    """Numbers counted from 1, as the card lists the names."""
    if columns is None:
        return "all"
    shown = ", ".join(str(column + 1) for column in columns[:_LISTED_COLUMNS])
    return shown if len(columns) <= _LISTED_COLUMNS else f"{shown} and {len(columns) - _LISTED_COLUMNS} more"
