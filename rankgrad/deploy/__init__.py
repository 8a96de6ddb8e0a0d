"""Running an exported bundle with numpy, onnxruntime and tokenizers alone; nothing here imports torch."""

from rankgrad.deploy.bundle import Settings, Variant, load, read_settings
from rankgrad.deploy.causal_reranker import CausalReranker
from rankgrad.deploy.colbert import ColBERT
from rankgrad.deploy.colbert_reranker import ColBERTReranker
from rankgrad.deploy.cross_encoder import CrossEncoder
from rankgrad.deploy.dense_encoder import DenseEncoder
from rankgrad.deploy.feature_ranker import FeatureRanker
from rankgrad.deploy.graph import Graph
from rankgrad.deploy.maxsim import PackedTokens, maxsim
from rankgrad.deploy.results import Result
from rankgrad.deploy.sparse_encoder import SparseEncoder
from rankgrad.deploy.sparse_rows import SparseRows

__all__ = [
    "CausalReranker",
    "ColBERT",
    "ColBERTReranker",
    "CrossEncoder",
    "DenseEncoder",
    "FeatureRanker",
    "Graph",
    "PackedTokens",
    "Result",
    "Settings",
    "SparseEncoder",
    "SparseRows",
    "Variant",
    "load",
    "maxsim",
    "read_settings",
]
