"""First stages: from a query alone to a ranking."""

from rankgrad.retrieve.analyzer import ENGLISH_STOP_WORDS, Analyzer, Terms
from rankgrad.retrieve.bm25 import BM25
from rankgrad.retrieve.bm25_weights import Method, bm25_weights
from rankgrad.retrieve.codecs import Float16Codec, Int8Codec, ResidualCodec, SignCodec

__all__ = [
    "BM25",
    "ENGLISH_STOP_WORDS",
    "Analyzer",
    "Float16Codec",
    "Int8Codec",
    "Method",
    "ResidualCodec",
    "SignCodec",
    "Terms",
    "bm25_weights",
]
