"""What is measured of a bundle's graphs: agreement with torch, quality on judged lists, time a document."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rankgrad import deploy
from rankgrad.data.records import CandidateList
from rankgrad.deploy.samples import TAU_ROUNDING, list_scores
from rankgrad.deploy.text_model import TextModel
from rankgrad.export.latency import machine, measure_latency
from rankgrad.export.onnx import Ranker
from rankgrad.export.parity import Lists, ParityError, ScoreParity, _torch_scores, compare_scores
from rankgrad.export.quality import compare_quality, mean_ndcg
from rankgrad.export.subject import Subject
from rankgrad.types import Variant

EXACT = ("fp32", "optimized")
SCORE_FACTOR = 10
_TIMED = 8


def open_variants(folder: Path, variants: Sequence[Variant]) -> dict[Variant, TextModel]:
    """The graphs of a bundle as they will be used, on one thread."""
    return {variant: deploy.load(folder, variant=variant, threads=1) for variant in variants}  # type: ignore[misc]


def compare_variants(
    model: Ranker | Subject,
    opened: dict[Variant, TextModel],
    lists: Lists,
    *,
    tolerance: float,
    rank_agreement: float,
) -> dict[Variant, ScoreParity]:
    """Compare each graph's scores with torch's, as the bundle will be used: a wrong tokenizer shows here.

    Args:
        model: what was exported.
        opened: the graphs.
        lists: queries with documents.
        tolerance: of the graphs' outputs; the scores of fp32 and optimized may differ by ten times that, relative to
            the largest score (but at least 1).
        rank_agreement: lowest mean Kendall tau of every graph but fp32.

    Raises:
        ParityError: for a graph whose scores or orders are further from torch's, or that scores only some of the
            documents by a number.
    """
    found = {}
    for variant, exported in opened.items():
        found[variant] = compare_scores(model, exported, lists)
        check_difference(variant, found[variant].relative_difference, tolerance=tolerance)
        tau = found[variant].kendall_tau
        if variant != "fp32" and not tau >= rank_agreement - TAU_ROUNDING:
            raise ParityError(
                f"the {variant} graph ranks otherwise than torch: mean Kendall tau {tau:.3f}, bound {rank_agreement}; "
                f"nothing is written. Leave {variant!r} out of variants, or pass a lower rank_agreement"
            )
    return found


def check_difference(variant: str, difference: float, *, tolerance: float) -> None:
    """Refuse a graph whose scores are not torch's.

    Args:
        variant: which; of all but fp32 and optimized only the scores that are no number count.
        difference: the relative one; infinite where only one of the two is finite.
        tolerance: a tenth of what is allowed.

    Raises:
        ParityError: naming the variant.
    """
    bound = min(SCORE_FACTOR * tolerance, sys.float_info.max) if variant in EXACT else sys.float_info.max
    if not difference <= bound:
        raise ParityError(
            f"the scores of the {variant} graph disagree with torch: relative difference {difference:.2g}, tolerance "
            f"{bound:.2g}; nothing is written. Where the graph alone agrees, a file beside it is another: the tokenizer"
        )


def quality_of_variants(
    model: Ranker | Subject,
    opened: dict[Variant, TextModel],
    judged: Sequence[CandidateList],
    *,
    tolerance: float,
) -> dict[str, Any]:
    """nDCG@10 of torch and of each graph, and which graphs lose too much."""
    torchs = mean_ndcg(partial(_torch_scores, model), judged)
    return {
        "queries": len(judged),
        "documents": sum(len(each.documents) for each in judged),
        "tolerance": tolerance,
        "torch": torchs,
        "variants": {
            variant: compare_quality(
                partial(list_scores, exported), judged, torchs=torchs, tolerance=tolerance
            )._asdict()
            for variant, exported in opened.items()
        },
    }


def latency_of_variants(opened: dict[Variant, TextModel], lists: Lists) -> dict[str, Any]:
    """Milliseconds a document, of a query with a few documents ranked on one thread."""
    query, documents = lists[0][0], list(lists[0][1])[:_TIMED]
    works: dict[Variant, Callable[[], object]] = {
        variant: partial(list_scores, exported, query, documents) for variant, exported in opened.items()
    }
    times = {
        variant: {name: value / len(documents) for name, value in each._asdict().items()}
        for variant, each in measure_latency(works).items()
    }
    return {"threads": 1, "documents": len(documents), **machine(), "variants": times}
