"""A tiny model and a bundle of each kind beside the cross-encoder and the ColBERT encoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rankgrad.models import CausalReranker, ColBERT, CrossEncoder, DenseEncoder, SparseEncoder
from rankgrad.modules.projection_layer import ProjectionLayer
from rankgrad.prompts import PromptTemplate
from rankgrad.tokens import LateInteractionRules

TEXTS = ("open a file and read its lines", "sort the values of a dictionary by key", "a date and a time")
OPTIONS: dict[str, dict[str, Any]] = {"exit": {"exit_layer": 1}, "reranker": {"one_graph": True}}
VARIANTS: dict[str, tuple[str, ...]] = {"dense": ("int8",), "listwise": ("int8",)}


def one_layer(model: Any) -> Any:
    """Tracing takes time by the layer."""
    encoder = getattr(model.backbone, "bert", model.backbone)
    encoder.encoder.layer = encoder.encoder.layer[:1]
    model.backbone.config.num_hidden_layers = 1
    return model


def shaken(model: Any) -> Any:
    """Fresh weights are so small that nothing seen makes a difference."""
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="session")
def kind_model(tiny_encoder_folder: Path, tiny_mlm_folder: Path, tiny_decoder_folder: Path) -> Callable[[str], Any]:
    """Makes a model of ``dense``, ``sparse``, ``causal``, ``exit``, ``reranker`` or ``listwise`` (which also makes
    documents shorter); each once a session."""

    def dense() -> DenseEncoder:
        plain = one_layer(DenseEncoder.from_pretrained(tiny_encoder_folder))
        return DenseEncoder(
            plain.backbone,
            plain.text_tokenizer,
            layers=[ProjectionLayer(32, 16, bias=True, activation=nn.Tanh())],
            truncate_dim=8,
            scale=20.0,
            query_prompt="sort ",
            query_length=12,
            document_length=40,
        ).eval()

    def sparse() -> SparseEncoder:
        options: Any = {"queries": "lookup", "document_top_k": 20, "document_length": 40}
        return one_layer(SparseEncoder.from_pretrained(tiny_mlm_folder, **options)).fit_idf(TEXTS)

    def causal() -> CausalReranker:
        template = PromptTemplate(before="a", body="{query} {document}", after="b", instruction="")
        options: Any = {"template": template, "max_length": 48, "query_length": 12, "layers": 1}
        return CausalReranker.from_pretrained(tiny_decoder_folder, **options)

    def leaves() -> CrossEncoder:
        return CrossEncoder.from_pretrained(tiny_encoder_folder, head="cls", exits=[1], max_length=96)

    def reranker() -> ColBERT:
        rules = LateInteractionRules(query_prefix="[Q]", document_prefix="[D]", query_length=12, document_length=40)
        return one_layer(ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=16, keep_share=0.6))

    def listwise() -> CrossEncoder:
        options: Any = {"listwise": True, "compress_layer": 1, "compress_ratio": 3, "query_length": 12}
        return shaken(CrossEncoder.from_pretrained(tiny_encoder_folder, max_length=48, **options))

    makers = {
        "dense": dense,
        "sparse": sparse,
        "causal": causal,
        "exit": leaves,
        "reranker": reranker,
        "listwise": listwise,
    }

    @cache
    def make(kind: str) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            return makers[kind]()

    return make


@pytest.fixture(scope="session")
def kind_bundle(kind_model: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Exports what ``kind_model`` makes; each once a session. Copy it before changing a file in it."""
    from rankgrad.export import export_bundle

    folder = tmp_path_factory.mktemp("kinds")

    @cache
    def export(kind: str) -> Path:
        variants: Any = VARIANTS.get(kind, ())
        options = OPTIONS.get(kind, {})
        # Random weights tell documents apart by little, so int8 may order them otherwise.
        export_bundle(kind_model(kind), folder / kind, variants=variants, rank_agreement=-1.0, **options)
        return folder / kind

    return export


@pytest.fixture(scope="session")
def kind_scores(kind_model: Callable[[str], Any]) -> Callable[[str, str, list[str]], list[float]]:
    """Torch's scores of a query's documents, by the model's own methods."""

    @torch.inference_mode()
    def score(kind: str, query: str, documents: list[str]) -> list[float]:
        model = kind_model(kind)
        if kind in ("causal", "listwise"):
            return model.score([query] * len(documents), documents).tolist()
        if kind == "exit":
            return model.score([query] * len(documents), documents, exit_layer=1).tolist()
        return model.score([query], model.encode_documents(documents))[0].tolist()

    return score
