"""Several rankings made one: by ranks, by votes, by scores, with weights given or learned."""

from rankgrad.fuse._fit import FusionFit, FusionMetric
from rankgrad.fuse._fused import Weights
from rankgrad.fuse.align import Aligned, align
from rankgrad.fuse.diagnose import Diagnosis, diagnose
from rankgrad.fuse.distribution import (
    AdditiveMultiTaskFusion,
    DistributionFusion,
    StandardisedFusion,
    additive_multi_task_fusion,
    distribution_fusion,
    standardised_fusion,
)
from rankgrad.fuse.explain import Explanation, Source, explain
from rankgrad.fuse.inverse_square_rank import InverseSquareRankFusion, inverse_square_rank_fusion
from rankgrad.fuse.judgements import Judgements, labels_of
from rankgrad.fuse.learned import LearnedFusion
from rankgrad.fuse.majority import CondorcetFusion, CopelandFusion, condorcet_fusion, copeland_fusion
from rankgrad.fuse.normalise import Normalisation, normalise
from rankgrad.fuse.rank_biased_centroids import RankBiasedCentroids, rank_biased_centroids
from rankgrad.fuse.reciprocal_rank import ReciprocalRankFusion, reciprocal_rank_fusion
from rankgrad.fuse.score_sum import ScoreFusion, score_fusion
from rankgrad.fuse.voting import BordaFusion, MedianRankFusion, borda_fusion, median_rank_fusion

__all__ = [
    "AdditiveMultiTaskFusion",
    "Aligned",
    "BordaFusion",
    "CondorcetFusion",
    "CopelandFusion",
    "Diagnosis",
    "DistributionFusion",
    "Explanation",
    "FusionFit",
    "FusionMetric",
    "InverseSquareRankFusion",
    "Judgements",
    "LearnedFusion",
    "MedianRankFusion",
    "Normalisation",
    "RankBiasedCentroids",
    "ReciprocalRankFusion",
    "ScoreFusion",
    "Source",
    "StandardisedFusion",
    "Weights",
    "additive_multi_task_fusion",
    "align",
    "borda_fusion",
    "condorcet_fusion",
    "copeland_fusion",
    "diagnose",
    "distribution_fusion",
    "explain",
    "inverse_square_rank_fusion",
    "labels_of",
    "median_rank_fusion",
    "normalise",
    "rank_biased_centroids",
    "reciprocal_rank_fusion",
    "score_fusion",
    "standardised_fusion",
]
