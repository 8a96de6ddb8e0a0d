"""Composition of stages: text in, a ranking out, or an answer."""

from rankgrad.pipeline.answer_prompt import AnswerPrompt, AnswerTemplate, AnswerTokenizer
from rankgrad.pipeline.cascade import Cascade, CascadeScores
from rankgrad.pipeline.cascade_loss import CascadeLoss, cascade_loss
from rankgrad.pipeline.cascade_model import CandidateBatch, CandidateLists, Candidates, CascadeModel
from rankgrad.pipeline.citations import Citation, find_citations
from rankgrad.pipeline.cut import Cut
from rankgrad.pipeline.feature_cascade import FeatureCascade
from rankgrad.pipeline.feature_stage import FeatureStage, whole_lists
from rankgrad.pipeline.generate import Answer, Generate
from rankgrad.pipeline.hand_over import soft_hand_over
from rankgrad.pipeline.pipeline import Pipeline

__all__ = [
    "Answer",
    "AnswerPrompt",
    "AnswerTemplate",
    "AnswerTokenizer",
    "CandidateBatch",
    "CandidateLists",
    "Candidates",
    "Cascade",
    "CascadeLoss",
    "CascadeModel",
    "CascadeScores",
    "Citation",
    "Cut",
    "FeatureCascade",
    "FeatureStage",
    "Generate",
    "Pipeline",
    "cascade_loss",
    "find_citations",
    "soft_hand_over",
    "whole_lists",
]
