"""Later stages: they reorder the head of a ranking."""

from rankgrad.rerank.cross_encoder import CrossEncoderReranker, PairScorer
from rankgrad.rerank.late_interaction import LateInteractionEncoder, LateInteractionReranker

__all__ = ["CrossEncoderReranker", "LateInteractionEncoder", "LateInteractionReranker", "PairScorer"]
