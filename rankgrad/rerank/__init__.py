"""Later stages: they reorder the head of a ranking."""

from rankgrad.rerank.cross_encoder import CrossEncoderReranker, PairScorer
from rankgrad.rerank.dpp import DPP, select_by_determinant
from rankgrad.rerank.explain import Evidence, Explanation, Match, explain
from rankgrad.rerank.explanation_lines import explanation_lines
from rankgrad.rerank.explanation_page import explanation_page
from rankgrad.rerank.late_interaction import LateInteractionEncoder, LateInteractionReranker
from rankgrad.rerank.layer_budget import LayerBudgetReranker
from rankgrad.rerank.matryoshka_tail import MatryoshkaTailReranker, OneVectorTokens
from rankgrad.rerank.mmr import MMR, select_by_marginal_relevance

__all__ = [
    "DPP",
    "MMR",
    "CrossEncoderReranker",
    "Evidence",
    "Explanation",
    "LateInteractionEncoder",
    "LateInteractionReranker",
    "LayerBudgetReranker",
    "Match",
    "MatryoshkaTailReranker",
    "OneVectorTokens",
    "PairScorer",
    "explain",
    "explanation_lines",
    "explanation_page",
    "select_by_determinant",
    "select_by_marginal_relevance",
]
