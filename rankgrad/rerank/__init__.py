"""Later stages: they reorder the head of a ranking."""

from rankgrad.rerank.cross_encoder import CrossEncoderReranker, PairScorer
from rankgrad.rerank.dpp import DPP, select_by_determinant
from rankgrad.rerank.late_interaction import LateInteractionEncoder, LateInteractionReranker
from rankgrad.rerank.mmr import MMR, select_by_marginal_relevance

__all__ = [
    "DPP",
    "MMR",
    "CrossEncoderReranker",
    "LateInteractionEncoder",
    "LateInteractionReranker",
    "PairScorer",
    "select_by_determinant",
    "select_by_marginal_relevance",
]
