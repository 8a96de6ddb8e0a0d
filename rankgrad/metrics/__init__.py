"""Metrics: one value a query, never reduced; with a soft ranker, differentiable."""

from rankgrad.metrics.alpha_ndcg import AlphaNDCG, alpha_ndcg
from rankgrad.metrics.average_precision import AveragePrecision, average_precision
from rankgrad.metrics.average_relevance_position import AverageRelevancePosition, average_relevance_position
from rankgrad.metrics.binary_preference import BinaryPreference, binary_preference
from rankgrad.metrics.conventions import LIGHTGBM, RAX, SKLEARN, TREC, Convention, Gain
from rankgrad.metrics.corrections import bonferroni_correction, holm_correction
from rankgrad.metrics.dcg import DCG, dcg
from rankgrad.metrics.expected_reciprocal_rank import ExpectedReciprocalRank, expected_reciprocal_rank
from rankgrad.metrics.f_measure import FMeasure, f_measure
from rankgrad.metrics.inferred_average_precision import InferredAveragePrecision, inferred_average_precision
from rankgrad.metrics.intent_aware import IntentAwareERR, IntentAwarePrecision, intent_aware_err, intent_aware_precision
from rankgrad.metrics.interpolated_precision import InterpolatedPrecision, interpolated_precision
from rankgrad.metrics.judged_share import JudgedShare, judged_share
from rankgrad.metrics.kendall_tau import KendallTau, kendall_tau
from rankgrad.metrics.measure_lists import measure_lists
from rankgrad.metrics.ndcg import NDCG, ndcg
from rankgrad.metrics.ordered_pair_accuracy import OrderedPairAccuracy, ordered_pair_accuracy
from rankgrad.metrics.precision import Precision, precision
from rankgrad.metrics.r_precision import RPrecision, r_precision
from rankgrad.metrics.rank_biased_overlap import RankBiasedOverlap, rank_biased_overlap
from rankgrad.metrics.rank_biased_precision import (
    RankBiasedPrecision,
    RankBiasedResidual,
    rank_biased_precision,
    rank_biased_residual,
)
from rankgrad.metrics.recall import Recall, recall
from rankgrad.metrics.reciprocal_rank import ReciprocalRank, reciprocal_rank
from rankgrad.metrics.significance import (
    Interval,
    SignificanceTest,
    bootstrap_interval,
    paired_t_test,
    randomization_test,
)
from rankgrad.metrics.spearman import Spearman, spearman
from rankgrad.metrics.success import Success, success
from rankgrad.metrics.tau_ap import TauAP, tau_ap
from rankgrad.metrics.wilcoxon import effect_size, wilcoxon_test

__all__ = [
    "DCG",
    "LIGHTGBM",
    "NDCG",
    "RAX",
    "SKLEARN",
    "TREC",
    "AlphaNDCG",
    "AveragePrecision",
    "AverageRelevancePosition",
    "BinaryPreference",
    "Convention",
    "ExpectedReciprocalRank",
    "FMeasure",
    "Gain",
    "InferredAveragePrecision",
    "IntentAwareERR",
    "IntentAwarePrecision",
    "InterpolatedPrecision",
    "Interval",
    "JudgedShare",
    "KendallTau",
    "OrderedPairAccuracy",
    "Precision",
    "RPrecision",
    "RankBiasedOverlap",
    "RankBiasedPrecision",
    "RankBiasedResidual",
    "Recall",
    "ReciprocalRank",
    "SignificanceTest",
    "Spearman",
    "Success",
    "TauAP",
    "alpha_ndcg",
    "average_precision",
    "average_relevance_position",
    "binary_preference",
    "bonferroni_correction",
    "bootstrap_interval",
    "dcg",
    "effect_size",
    "expected_reciprocal_rank",
    "f_measure",
    "holm_correction",
    "inferred_average_precision",
    "intent_aware_err",
    "intent_aware_precision",
    "interpolated_precision",
    "judged_share",
    "kendall_tau",
    "measure_lists",
    "ndcg",
    "ordered_pair_accuracy",
    "paired_t_test",
    "precision",
    "r_precision",
    "randomization_test",
    "rank_biased_overlap",
    "rank_biased_precision",
    "rank_biased_residual",
    "recall",
    "reciprocal_rank",
    "spearman",
    "success",
    "tau_ap",
    "wilcoxon_test",
]
