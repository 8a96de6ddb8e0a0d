"""Rankers as modules: cross-encoders and ColBERT over any transformers encoder, and rankers of feature rows."""

from rankgrad.models.colbert import ColBERT
from rankgrad.models.cross_encoder import CrossEncoder, Head
from rankgrad.models.feature_ranker import FeatureRanker

__all__ = ["ColBERT", "CrossEncoder", "FeatureRanker", "Head"]
