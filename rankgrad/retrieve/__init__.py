"""First stages: from a query alone to a ranking."""

from rankgrad.retrieve._feedback import LexicalRetriever
from rankgrad.retrieve._late_encoding import LateInteractionTextEncoder
from rankgrad.retrieve._late_files import index_notes
from rankgrad.retrieve.analyzer import ENGLISH_STOP_WORDS, Analyzer, Terms
from rankgrad.retrieve.bm25 import BM25
from rankgrad.retrieve.bm25_weights import Method, bm25_weights
from rankgrad.retrieve.bo1 import Bo1
from rankgrad.retrieve.codecs import Float16Codec, Int8Codec, ResidualCodec, SignCodec
from rankgrad.retrieve.dense import DenseRetriever, DenseTextEncoder
from rankgrad.retrieve.encoded import EncodedCorpus, Shard
from rankgrad.retrieve.faiss_index import FaissIndex
from rankgrad.retrieve.filtered import Filtered, SelectiveRetriever
from rankgrad.retrieve.late_interaction import LateInteractionRetriever
from rankgrad.retrieve.learnable_bm25 import LearnableBM25
from rankgrad.retrieve.metadata import Metadata
from rankgrad.retrieve.qdrant import QdrantRetriever
from rankgrad.retrieve.qdrant_condition import QdrantCondition
from rankgrad.retrieve.query_likelihood import QueryLikelihood, Smoothing
from rankgrad.retrieve.rm3 import RM3, Shares
from rankgrad.retrieve.router import Router
from rankgrad.retrieve.sparse import SparseRetriever, SparseTextEncoder
from rankgrad.retrieve.tfidf import TFIDF
from rankgrad.retrieve.weighted_terms import WeightedTerms

__all__ = [
    "BM25",
    "ENGLISH_STOP_WORDS",
    "RM3",
    "TFIDF",
    "Analyzer",
    "Bo1",
    "DenseRetriever",
    "DenseTextEncoder",
    "EncodedCorpus",
    "FaissIndex",
    "Filtered",
    "Float16Codec",
    "Int8Codec",
    "LateInteractionRetriever",
    "LateInteractionTextEncoder",
    "LearnableBM25",
    "LexicalRetriever",
    "Metadata",
    "Method",
    "QdrantCondition",
    "QdrantRetriever",
    "QueryLikelihood",
    "ResidualCodec",
    "Router",
    "SelectiveRetriever",
    "Shard",
    "Shares",
    "SignCodec",
    "Smoothing",
    "SparseRetriever",
    "SparseTextEncoder",
    "Terms",
    "WeightedTerms",
    "bm25_weights",
    "index_notes",
]
