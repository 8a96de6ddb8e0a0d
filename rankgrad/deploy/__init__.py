"""Running an exported bundle with numpy, onnxruntime and tokenizers alone; nothing here imports torch."""

from rankgrad.deploy.bundle import Settings, Variant, load, read_settings
from rankgrad.deploy.colbert import ColBERT
from rankgrad.deploy.cross_encoder import CrossEncoder
from rankgrad.deploy.feature_ranker import FeatureRanker
from rankgrad.deploy.graph import Graph
from rankgrad.deploy.maxsim import PackedTokens, maxsim
from rankgrad.deploy.results import Result

__all__ = [
    "ColBERT",
    "CrossEncoder",
    "FeatureRanker",
    "Graph",
    "PackedTokens",
    "Result",
    "Settings",
    "Variant",
    "load",
    "maxsim",
    "read_settings",
]
