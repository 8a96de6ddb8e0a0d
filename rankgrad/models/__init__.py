"""Rankers as modules: cross-encoders and ColBERT over any transformers encoder."""

from rankgrad.models.colbert import ColBERT
from rankgrad.models.cross_encoder import CrossEncoder, Head

__all__ = ["ColBERT", "CrossEncoder", "Head"]
