"""The parts that models are made of."""

from rankgrad.modules.feature_bins import FeatureBins
from rankgrad.modules.feature_transform import FeatureTransform
from rankgrad.modules.max_sim import MaxSim
from rankgrad.modules.muvera import Muvera
from rankgrad.modules.pooled_classifier import PooledClassifier
from rankgrad.modules.pooling import pool_states
from rankgrad.modules.projection_layer import ProjectionHead, ProjectionLayer
from rankgrad.modules.query_weights import QueryWeights
from rankgrad.modules.soft_ranking import SoftRank, SoftSort, SoftTopK
from rankgrad.modules.sparse_rows import SparseRows
from rankgrad.modules.token_pooling import pool_tokens
from rankgrad.modules.token_pruner import TokenPruner, keep_penalty
from rankgrad.modules.xtr import xtr_scores

__all__ = [
    "FeatureBins",
    "FeatureTransform",
    "MaxSim",
    "Muvera",
    "PooledClassifier",
    "ProjectionHead",
    "ProjectionLayer",
    "QueryWeights",
    "SoftRank",
    "SoftSort",
    "SoftTopK",
    "SparseRows",
    "TokenPruner",
    "keep_penalty",
    "pool_states",
    "pool_tokens",
    "xtr_scores",
]
