"""First stages: from a query alone to a ranking."""

from rankgrad.retrieve.analyzer import ENGLISH_STOP_WORDS, Analyzer, Terms
from rankgrad.retrieve.bm25 import BM25
from rankgrad.retrieve.bm25_weights import Method, bm25_weights

__all__ = ["BM25", "ENGLISH_STOP_WORDS", "Analyzer", "Method", "Terms", "bm25_weights"]
