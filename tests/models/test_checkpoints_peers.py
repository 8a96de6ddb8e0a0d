"""Folders of other libraries load here with their scores, and ours load there with ours."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.models import _folder as folder_tools
from rankgrad.modules import ProjectionHead
from rankgrad.tokens import LateInteractionRules

QUERIES = ["return the number of items", "open a file!"]
DOCUMENTS = ["a list, and its items.", "open a file and read its lines", "x"]
RULES = LateInteractionRules(query_prefix="[Q]", document_prefix="[D]", query_length=12, document_length=10)
HEAD = ProjectionHead(depth=2, activation=nn.GELU(), residual=True, bias=True)


def library() -> ModuleType:
    """sentence-transformers 6, which has MultiVectorEncoder."""
    library = pytest.importorskip("sentence_transformers", reason="needs the bench extra")
    if int(library.__version__.split(".")[0]) < 6:
        pytest.skip(f"needs sentence-transformers 6, got {library.__version__}")
    return library


def pylate_models() -> ModuleType:
    """``pylate.models``; PyLate (1.6) runs with sentence-transformers 5 only."""
    pytest.importorskip("pylate", reason="needs PyLate, which pins other versions than the bench extra")
    library = pytest.importorskip("sentence_transformers")
    if int(library.__version__.split(".")[0]) >= 6:
        pytest.skip("PyLate needs sentence-transformers 5: install it in an environment of its own")
    with quiet():
        return pytest.importorskip("pylate.models")


@contextmanager
def quiet() -> Iterator[None]:
    """Their warnings are not ours."""
    with folder_tools.quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@torch.no_grad()
def our_embeddings(model: ColBERT) -> list[torch.Tensor]:
    """Of each query and each document, in order."""
    embeddings, mask = model.encode_queries(QUERIES)
    packed = model.encode_documents(DOCUMENTS)
    documents = packed.embeddings.split(packed.cu_seqlens.diff().tolist())
    return [*(row[kept] for row, kept in zip(embeddings, mask, strict=True)), *documents]


def assert_same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    """Token by token to 1e-5, and MaxSim of every pair too."""
    assert [tuple(each.shape) for each in ours] == [tuple(each.shape) for each in theirs]
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, atol=1e-5, rtol=0)
    count = len(QUERIES)
    scores = [
        torch.stack([(query @ document.T).amax(1).sum() for query in side[:count] for document in side[count:]])
        for side in (ours, theirs)
    ]
    torch.testing.assert_close(*scores, atol=1e-5, rtol=0)


def encoded_there(model) -> list[torch.Tensor]:
    """Embeddings of a MultiVectorEncoder or a PyLate model."""
    with quiet(), torch.no_grad():
        if type(model).__name__ == "MultiVectorEncoder":
            return [*model.encode_query(QUERIES), *model.encode_document(DOCUMENTS)]
        found = [model.encode(texts, is_query=side) for texts, side in ((QUERIES, True), (DOCUMENTS, False))]
    return [torch.as_tensor(each) for each in (*found[0], *found[1])]


def multi_vector(folder: Path):
    with quiet():
        return library().MultiVectorEncoder(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("expansion", "prompts"),
    [
        (None, ("[Q]", "[D]")),
        ({"strategy": "fixed", "attend": True, "length": 12}, ("open a ", "")),
        ({"strategy": "min", "attend": False, "length": 8}, ("[Q]", "[D]")),
    ],
)
def test_sentence_transformers_folder(
    tiny_encoder_folder: Path, tmp_path: Path, expansion: dict | None, prompts: tuple[str, str]
) -> None:
    peer = multi_vector(tiny_encoder_folder)
    peer[0].query_expansion, peer[0].query_length, peer[0].document_length = expansion, 12, 10
    peer.prompts = dict(zip(("query", "document"), prompts, strict=True))
    peer[2].skiplist_words = ["."]
    peer[2].resolve_with_tokenizer(peer.tokenizer)
    with quiet():
        peer.save_pretrained(str(tmp_path / "theirs"))
    ours = ColBERT.from_pretrained(tmp_path / "theirs")
    assert (ours.rules.query_prefix, ours.rules.query_prompt) == (("[Q]", "") if prompts[1] else ("", "open a "))
    assert_same(our_embeddings(ours), encoded_there(peer))
    ours.save_pretrained(tmp_path / "ours", layout="sentence-transformers")
    assert_same(our_embeddings(ours), encoded_there(multi_vector(tmp_path / "ours")))
    assert ColBERT.from_pretrained(tmp_path / "ours").rules == ours.rules


@pytest.mark.parametrize("layout", ["pylate", "sentence-transformers", "stanford"])
@pytest.mark.parametrize("reader", ["sentence-transformers", "pylate"])
def test_they_read_what_we_write(tiny_encoder_folder: Path, tmp_path: Path, layout: str, reader: str) -> None:
    if (layout, reader) == ("sentence-transformers", "pylate"):
        pytest.skip("PyLate has no reader for it")
    models = pylate_models() if reader == "pylate" else library()
    head = None if layout == "stanford" else HEAD
    ours = ColBERT.from_pretrained(tiny_encoder_folder, rules=RULES, dim=8, head=head)
    ours.save_pretrained(tmp_path / "ours", layout=layout)
    if reader == "pylate":
        with quiet():
            peer = models.ColBERT(str(tmp_path / "ours"), device="cpu")
        assert (peer.query_length, peer.document_length, peer.query_prefix) == (12, 10, "[Q]")
    else:
        peer = multi_vector(tmp_path / "ours")
    assert_same(our_embeddings(ours), encoded_there(peer))
    again = ColBERT.from_pretrained(tmp_path / "ours")
    assert again.rules == ours.rules
    assert_same(our_embeddings(again), our_embeddings(ours))


@pytest.mark.parametrize("expand", [False, True])
def test_pylate_folder(tiny_encoder_folder: Path, tmp_path: Path, expand: bool) -> None:
    models = pylate_models()
    with quiet():
        peer = models.ColBERT(
            str(tiny_encoder_folder),
            embedding_size=32,
            bias=True,
            query_length=12,
            document_length=10,
            do_query_expansion=expand,
            attend_to_expansion_tokens=expand,
            skiplist_words=["."],
            device="cpu",
        )
        for extra in (
            models.Dense(32, 48, bias=False, activation_function=nn.GELU(), use_residual=True),
            models.Dense(48, 48, activation_function=nn.Tanh(), use_residual=True),
            models.Dense(48, 8, bias=False),
        ):
            peer.append(extra)
        peer.save_pretrained(str(tmp_path / "theirs"))
    ours = ColBERT.from_pretrained(tmp_path / "theirs")
    assert (ours.rules.query_prefix, ours.rules.query_expansion, ours.dim) == ("[Q] ", expand, 8)
    assert_same(our_embeddings(ours), encoded_there(peer))
    ours.save_pretrained(tmp_path / "ours", layout="pylate")
    with quiet():
        again = models.ColBERT(str(tmp_path / "ours"), device="cpu")
    assert_same(our_embeddings(ours), encoded_there(again))


def test_a_model_without_projection_is_read_as_one(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    ours = ColBERT.from_pretrained(tiny_encoder_folder, rules=replace(RULES, query_expansion=False), dim=None)
    ours.save_pretrained(tmp_path / "ours")
    assert_same(our_embeddings(ours), encoded_there(multi_vector(tmp_path / "ours")))


def test_cross_encoder_both_ways(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    queries = [QUERIES[0]] * len(DOCUMENTS)
    pairs = list(zip(queries, DOCUMENTS, strict=True))
    with quiet():
        peer = library().CrossEncoder(str(tiny_encoder_folder), num_labels=1, max_length=40, device="cpu")
        peer.save_pretrained(str(tmp_path / "theirs"))
    ours = CrossEncoder.from_pretrained(tmp_path / "theirs")
    assert ours.tokenizer.max_length == 40
    with torch.no_grad():
        scores = ours.score(queries, DOCUMENTS)
    # Theirs saves the sigmoid with the folder, and so do we after reading it.
    torch.testing.assert_close(scores.sigmoid(), peer.predict(pairs, convert_to_tensor=True), atol=1e-5, rtol=0)
    ours.save_pretrained(tmp_path / "ours")
    with quiet():
        again = library().CrossEncoder(str(tmp_path / "ours"), device="cpu")
    torch.testing.assert_close(scores.sigmoid(), again.predict(pairs, convert_to_tensor=True), atol=1e-5, rtol=0)
    fresh = CrossEncoder.from_pretrained(tiny_encoder_folder, head="cls", max_length=48, query_length=20)
    fresh.save_pretrained(tmp_path / "fresh")
    with quiet():
        there = library().CrossEncoder(str(tmp_path / "fresh"), device="cpu")
    with torch.no_grad():
        mine = fresh.score(queries, DOCUMENTS)
    torch.testing.assert_close(mine, there.predict(pairs, convert_to_tensor=True), atol=1e-5, rtol=0)
    assert there.max_seq_length == 48
