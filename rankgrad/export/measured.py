"""What is measured of a bundle's graphs: agreement with torch, quality on judged lists, time a document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rankgrad import deploy
from rankgrad.data.records import CandidateList
from rankgrad.deploy.samples import list_scores
from rankgrad.deploy.text_model import TextModel
from rankgrad.export.latency import machine, measure_latency
from rankgrad.export.onnx import Ranker
from rankgrad.export.parity import Lists, ParityError, ScoreParity, _torch_scores, compare_scores
from rankgrad.export.quality import compare_quality, mean_ndcg
from rankgrad.export.subject import Subject
from rankgrad.types import Variant

_TIMED = 8


def open_variants(folder: Path, variants: Sequence[Variant]) -> dict[Variant, TextModel]:
    """The graphs of a bundle as they will be used, on one thread."""
    return {variant: deploy.load(folder, variant=variant, threads=1) for variant in variants}  # type: ignore[misc]


def compare_variants(
    model: Ranker | Subject,
    opened: dict[Variant, TextModel],
    lists: Lists,
    *,
    rank_agreement: float,
) -> dict[Variant, ScoreParity]:
    """Compare each graph's scores with torch's.

    Raises:
        ParityError: for a graph, other than fp32, whose orders agree with torch's by less than ``rank_agreement``.
    """
    found = {}
    for variant, exported in opened.items():
        found[variant] = compare_scores(model, exported, lists)
        tau = found[variant].kendall_tau
        if variant != "fp32" and not tau >= rank_agreement:
            raise ParityError(
                f"the {variant} graph ranks otherwise than torch: mean Kendall tau {tau:.3f}, bound {rank_agreement}; "
                f"nothing is written. Leave {variant!r} out of variants, or pass a lower rank_agreement"
            )
    return found


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
