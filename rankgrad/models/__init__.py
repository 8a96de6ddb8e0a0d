"""Rankers as modules: cross-encoders and ColBERT over any transformers encoder, and rankers of feature rows."""

from rankgrad.models.causal_reranker import CausalHead, CausalReranker
from rankgrad.models.causal_reranker_layout import CausalLayout
from rankgrad.models.colbert import ColBERT
from rankgrad.models.cross_encoder import CrossEncoder, Head, Padding, PairLayout
from rankgrad.models.dense_encoder import DenseEncoder, Similarity
from rankgrad.models.feature_ranker import FeatureRanker
from rankgrad.models.image_colbert import ImageColBERT
from rankgrad.models.sparse_encoder import QuerySide, SparseEncoder

__all__ = [
    "CausalHead",
    "CausalLayout",
    "CausalReranker",
    "ColBERT",
    "CrossEncoder",
    "DenseEncoder",
    "FeatureRanker",
    "Head",
    "ImageColBERT",
    "Padding",
    "PairLayout",
    "QuerySide",
    "Similarity",
    "SparseEncoder",
]
