"""What ``rankgrad fuse`` says of its runs: measures, what they share, who added what; as plain values and as lines."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

from rankgrad.cli._fusion import measure
from rankgrad.fuse import diagnose, explain

if TYPE_CHECKING:
    from rankgrad.cli._fusion import Fused, Runs

METRICS = ("nDCG@10", "MAP", "recall@100")


def fusion_report(runs: Runs, fused: Fused, *, explained: str | None, top: int) -> dict[str, Any]:
    """Plain values for JSON; None where there is nothing to say.

    Args:
        runs: what was fused; with judgements they are measured and compared two by two.
        fused: what became of them.
        explained: a query whose documents are taken apart; None = none.
        top: how many of them.
    """
    report: dict[str, Any] = {"queries": len(fused.run), "runs": list(runs.names)}
    if runs.judgements is not None:
        report["measures"] = [
            {"run": name, **dict(zip(METRICS, values, strict=True))} for name, values in measure(runs, fused)
        ]
        report |= _diagnosis(runs)
    if explained is not None:
        report["explanation"] = {"query": explained, "documents": _documents(runs, fused, explained, top)}
    return report


def print_report(report: dict[str, Any]) -> None:
    """The same for a person."""
    if "measures" in report:
        print(f"{'':24} {METRICS[0]:>9} {METRICS[1]:>9} {METRICS[2]:>11}")
        for row in report["measures"]:
            ndcg, average, recall = (row[name] for name in METRICS)
            print(f"{row['run'][-24:]:24} {ndcg:9.4f} {average:9.4f} {recall:11.4f}")
        print()
        for pair in report["pairs"]:
            shared, tau, only = (math.nan if pair[name] is None else pair[name] for name in ("shared", "tau", "alone"))
            print(f"{' and '.join(pair['runs'])}: shared {shared:.0%}, tau {tau:.3f}, found by one alone {only:.0%}")
        print(report["suggestion"])
    for document in report.get("explanation", {}).get("documents", ()):
        print(f"{document['rank']}. {document['document']} {document['score']:.6g}")
        for source in document["sources"]:
            held = f"rank {source['rank']:g}, score {source['score']:g}" if source["rank"] is not None else "not held"
            print(f"     {source['contribution']:+.6g} {source['run']} ({held})")


def _diagnosis(runs: Runs) -> dict[str, Any]:
    found = diagnose(runs.rankings, runs.judgements)
    pairs = [
        {
            "runs": [runs.names[one], runs.names[other]],
            "shared": _number(found.overlap[one, other]),
            "tau": _number(found.agreement[one, other]),
            "alone": None if found.complementarity is None else _number(found.complementarity[one, other]),
        }
        for one, other in combinations(range(len(runs.names)), 2)
    ]
    return {"pairs": pairs, "suggestion": found.suggestion}


def _documents(runs: Runs, fused: Fused, query: str, top: int) -> list[dict[str, Any]]:
    found = explain(fused.fusion, runs.rankings, query=runs.queries.index(query), k=top)
    return [
        {
            "rank": each.rank,
            "document": runs.documents[each.id],
            "score": each.score,
            "sources": [{**source._asdict(), "run": runs.names[source.list]} for source in each.sources],
        }
        for each in found
    ]


def _number(value: Any) -> float | None:
    """JSON has no NaN."""
    number = float(value)
    return None if math.isnan(number) else number
