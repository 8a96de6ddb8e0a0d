"""The measures that ``rankgrad evaluate --run`` knows by name: trec_eval's names, and those of our metrics."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

from torch import Tensor

from rankgrad import metrics
from rankgrad._checks import InputError
from rankgrad.cli import _trec_measures as trec
from rankgrad.ops import RankFunction, hard_rank

Summary: TypeAlias = Literal["mean", "sum", "geometric"]
Factory: TypeAlias = Callable[[float], Callable[..., Tensor]]
_CUTS = (5, 10, 15, 20, 30, 100, 200, 500, 1000)
_DEEPEST = 10**9
_TENTHS = tuple(place / 10 for place in range(11))
OFFICIAL = (
    "num_q",
    "num_ret",
    "num_rel",
    "num_rel_ret",
    "map",
    "gm_map",
    "Rprec",
    "bpref",
    "recip_rank",
    "iprec_at_recall",
    "P",
)


class Measure(NamedTuple):
    """One line of the output: its name, what it is of each list, and of all."""

    name: str
    metric: Callable[..., Tensor]
    summary: Summary = "mean"

    def __call__(
        self,
        scores: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        *,
        judged: Tensor | None = None,
        ranker: RankFunction | None = None,
    ) -> Tensor:
        return self.metric(scores, labels, mask, judged=judged, ranker=ranker or hard_rank)


class _Cut(NamedTuple):
    """A measure at several cut-offs: ``NAME.5,10``, printed as ``NAME_5`` and ``NAME_10``."""

    make: Callable[[float, float], Callable[..., Tensor]]
    cuts: Sequence[float] = _CUTS
    digits: int = 0


_CUT = {
    "iprec_at_recall": _Cut(lambda cut, level: metrics.InterpolatedPrecision(cut, relevance_level=level), _TENTHS, 2),
    "P": _Cut(lambda cut, level: metrics.Precision(int(cut), relevance_level=level)),
    "recall": _Cut(lambda cut, level: metrics.Recall(int(cut), relevance_level=level)),
    "Rprec_mult": _Cut(
        lambda cut, level: metrics.RPrecision(cut, relevance_level=level), [place / 5 for place in range(1, 11)], 2
    ),
    "ndcg_cut": _Cut(lambda cut, level: metrics.NDCG(int(cut))),
    "map_cut": _Cut(lambda cut, level: metrics.AveragePrecision(int(cut), relevance_level=level)),
    "relative_P": _Cut(lambda cut, level: partial(trec.relative_precision, k=int(cut), level=level)),
    "success": _Cut(lambda cut, level: metrics.Success(int(cut), relevance_level=level), (1, 5, 10)),
    "unj": _Cut(lambda cut, level: partial(trec.unjudged_share, k=int(cut)), (5, 10, 20)),
}
_SINGLE: dict[str, Factory] = {
    "map": lambda level: metrics.AveragePrecision(relevance_level=level),
    "gm_map": lambda level: metrics.AveragePrecision(relevance_level=level),
    "Rprec": lambda level: metrics.RPrecision(relevance_level=level),
    "bpref": lambda level: metrics.BinaryPreference(relevance_level=level),
    "gm_bpref": lambda level: metrics.BinaryPreference(relevance_level=level),
    "recip_rank": lambda level: metrics.ReciprocalRank(relevance_level=level),
    "infAP": lambda level: metrics.InferredAveragePrecision(relevance_level=level),
    "ndcg": lambda level: metrics.NDCG(),
    "set_P": lambda level: metrics.Precision(relevance_level=level),
    "set_recall": lambda level: metrics.Recall(relevance_level=level),
    "set_relative_P": lambda level: partial(trec.relative_precision, k=None, level=level),
    "set_map": lambda level: partial(trec.set_map, level=level),
    "set_F": lambda level: metrics.FMeasure(relevance_level=level),
    "rbp": lambda level: trec.graded_rbp,
    "rbp_resid": lambda level: trec.rbp_residual,
}
_COUNTS: dict[str, Factory] = {
    "num_q": lambda level: trec.one_query,
    "num_ret": lambda level: trec.retrieved,
    "num_rel": lambda level: partial(trec.relevant, level=level),
    "num_rel_ret": lambda level: partial(trec.relevant_retrieved, level=level),
    "num_nonrel_judged_ret": lambda level: partial(trec.irrelevant_retrieved, level=level),
}
# In trec_eval's own order.
ALL_TREC = (
    *OFFICIAL,
    "recall",
    "infAP",
    "gm_bpref",
    "Rprec_mult",
    "11pt_avg",
    "ndcg",
    "ndcg_cut",
    "map_cut",
    "relative_P",
    "success",
    "set_P",
    "set_relative_P",
    "set_recall",
    "set_map",
    "set_F",
    "num_nonrel_judged_ret",
    "rbp",
    "rbp_resid",
    "unj",
)
_COUNTED = ("num_q", "num_ret", "num_rel", "num_rel_ret")
GROUPS: dict[str, Sequence[str]] = {
    "official": OFFICIAL,
    "all_trec": ALL_TREC,
    "set": (*_COUNTED, "set_P", "set_recall", "set_relative_P", "set_map", "set_F"),
}
# By name in lower case; k, what stands in parentheses, the level from which a document is relevant.
_OURS: dict[str, Callable[[int | None, str | None, float], Callable[..., Tensor]]] = {
    "ndcg": lambda k, option, level: metrics.NDCG(k, gain=trec.gain_of(option or "linear")),
    "dcg": lambda k, option, level: metrics.DCG(k, gain=trec.gain_of(option or "linear")),
    "ap": lambda k, option, level: metrics.AveragePrecision(k, relevance_level=level),
    "map": lambda k, option, level: metrics.AveragePrecision(k, relevance_level=level),
    "rr": lambda k, option, level: metrics.ReciprocalRank(k, relevance_level=level),
    "mrr": lambda k, option, level: metrics.ReciprocalRank(k, relevance_level=level),
    "p": lambda k, option, level: metrics.Precision(k, relevance_level=level),
    "r": lambda k, option, level: metrics.Recall(k, relevance_level=level),
    "recall": lambda k, option, level: metrics.Recall(k, relevance_level=level),
    "f": lambda k, option, level: metrics.FMeasure(k, beta=_number(option or "1"), relevance_level=level),
    "success": lambda k, option, level: metrics.Success(k, relevance_level=level),
    "hit": lambda k, option, level: metrics.Success(k, relevance_level=level),
    "err": lambda k, option, level: metrics.ExpectedReciprocalRank(k, max_label=_number(option or "4")),
    "rbp": lambda k, option, level: metrics.RankBiasedPrecision(
        k, persistence=_number(option or "0.8"), relevance_level=level
    ),
    "judged": lambda k, option, level: metrics.JudgedShare(k),
    "arp": lambda k, option, level: metrics.AverageRelevancePosition(),
}


def parse_measures(names: Sequence[str], level: float) -> list[Measure]:
    """The measures of some names, each once, in their order.

    Args:
        names: ``map``, ``ndcg_cut.10,20`` or ``P_5`` as trec_eval's ``-m`` takes and prints them, ``official``,
            ``all_trec``, or ``nDCG@10``, ``nDCG(exp2)@10``, ``RBP(0.9)``, ``ERR(3)@20``.
        level: the lowest grade that counts as relevant.

    Raises:
        InputError: for a name that is unknown, or options that it does not take.

    Example:
        >>> [measure.name for measure in parse_measures(["map", "P.5,10", "ndcg_cut_20", "nDCG(exp2)@10"], 1)]
        ['map', 'P_5', 'P_10', 'ndcg_cut_20', 'nDCG(exp2)@10']
    """
    found = [measure for name in names for part in GROUPS.get(name, [name]) for measure in _measures(part, level)]
    return list({measure.name: measure for measure in found}.values())


def _measures(name: str, level: float) -> Iterator[Measure]:
    base, _, options = name.partition(".")
    cut = re.fullmatch(r"(\w+)_([\d.]+)", name)
    if cut and cut[1] in _CUT:
        base, options = cut.groups()
    try:
        if base in _CUT:
            yield from _at_cuts(base, _CUT[base], options, level)
        elif base in _COUNTS and not options:
            yield Measure(name, _COUNTS[base](level), "sum")
        elif base in _SINGLE and not options:
            yield Measure(name, _SINGLE[base](level), "geometric" if base.startswith("gm_") else "mean")
        elif base in ("11pt_avg", "ndcg", "set_F", "rbp"):
            yield _with_options(base, options, level)
        else:
            yield _ours(name, level)
    except ValueError as error:
        raise InputError(f"measure {name!r}: {error}") from None


def _at_cuts(base: str, cut: _Cut, options: str, level: float) -> Iterator[Measure]:
    # Whole numbers are cut as C does, so that 23.4 documents are 23.
    cuts = [_number(each) for each in options.split(",")] if options else cut.cuts
    for each in sorted(cuts):
        at = each if cut.digits else _depth(int(each))
        yield Measure(f"{base}_{at:.{cut.digits}f}" if cut.digits else f"{base}_{at}", cut.make(at, level))


def _with_options(base: str, options: str, level: float) -> Measure:
    name = f"{base}_{options}" if options else base
    if base == "11pt_avg":
        levels = [_number(each) for each in options.split(",")] if options else _TENTHS
        return Measure(name, partial(trec.mean_interpolated, levels=levels, level=level))
    if base == "ndcg":
        return Measure(name, metrics.NDCG(gain=trec.gain_of(options)))
    if base == "rbp":
        return Measure(name, partial(trec.graded_rbp, persistence=_number(options.removeprefix("p="))))
    # trec_eval's parameter is the square of beta.
    return Measure(name, metrics.FMeasure(beta=math.sqrt(max(_number(options), 0.0)), relevance_level=level))


def _ours(name: str, level: float) -> Measure:
    parts = re.fullmatch(r"([A-Za-z]+)(?:\(([^()]+)\))?(?:@(\d+))?", name)
    make = _OURS.get(parts[1].lower()) if parts else None
    if parts is None or make is None:
        known = ", ".join(sorted({*_COUNTS, *_SINGLE, *_CUT, "11pt_avg"}, key=str.lower))
        raise ValueError(f"unknown; take one of {known}, {', '.join(GROUPS)}, or one like nDCG@10, MRR@10, RBP(0.8)")
    return Measure(name, make(_depth(int(parts[3])) if parts[3] else None, parts[2], level))


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, got {text}")
    return number


def _depth(k: int) -> int:
    if not 1 <= k <= _DEEPEST:
        raise ValueError(f"expected a cut-off of at least 1 and at most {_DEEPEST:,}, got {k}")
    return k
