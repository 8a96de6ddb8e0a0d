"""One vector a text: pooling, widths, lists and batches, and what a folder keeps of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from rankgrad._checks import InputError
from rankgrad.data import CandidateList
from rankgrad.data.collate import ListCollate
from rankgrad.losses import InfoNCELoss
from rankgrad.models import DenseEncoder
from rankgrad.modules.pooling import POOLINGS, pool_states
from rankgrad.modules.projection_layer import ProjectionLayer
from rankgrad.retrieve import DenseRetriever
from rankgrad.training import MatryoshkaLoss
from rankgrad.training.grad_cache import cached_scores

QUERIES = ["return the number of items", "open a file!"]
DOCUMENTS = ["a list, and its items.", "open a file and read its lines", "x", ""]
LISTS = [
    CandidateList("open a file", ("read its lines", "sort the values", "open a file"), (0.0, 0.0, 1.0)),
    CandidateList("sort values", ("sort the values",), (1.0,)),
]


@pytest.mark.parametrize("method", POOLINGS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_pooling_is_that_of_each_row_alone(method: str, side: str) -> None:
    lengths = (5, 3, 1)
    mask = torch.stack([torch.arange(5) < n if side == "right" else torch.arange(5) >= 5 - n for n in lengths])
    hidden = torch.randn(3, 5, 4, requires_grad=True)
    found = pool_states(hidden, mask, method=method)  # type: ignore[arg-type]
    for row, pooled, real in zip(hidden, found, mask, strict=True):
        states = row[real]
        weights = torch.arange(1, len(states) + 1.0)
        expected = {
            "cls": states[0],
            "mean": states.mean(0),
            "last": states[-1],
            "weighted_mean": weights @ states / weights.sum(),
            "max": states.amax(0),
        }[method]
        torch.testing.assert_close(pooled, expected)
    (gradient,) = torch.autograd.grad(found.sum(), hidden)
    assert (gradient[~mask] == 0).all()


def test_pooling_nothing_is_finite_and_garbage_in_padding_does_not_count() -> None:
    hidden = torch.full((1, 2, 3), torch.nan)
    for method in ("mean", "weighted_mean", "max"):
        assert (pool_states(hidden, torch.zeros(1, 2, dtype=torch.bool), method=method) == 0).all()


def test_the_scores_of_lists_and_batches_are_cosines(tiny_encoder_folder: Path) -> None:
    model = DenseEncoder.from_pretrained(tiny_encoder_folder, scale=20.0, query_prompt="find ")
    plain = DenseEncoder.from_pretrained(tiny_encoder_folder, normalize=False)
    batch = ListCollate(model.tokenizer)(LISTS)
    scores = model(batch.features)
    for row, one in enumerate(LISTS):
        query = plain.encode_queries(["find " + one.query])
        documents = plain.encode_documents(list(one.documents))
        expected = 20 * torch.cosine_similarity(query, documents)
        torch.testing.assert_close(scores[row][: len(one.documents)], expected, atol=1e-4, rtol=1e-5)

    shared = ListCollate(model.tokenizer, in_batch_negatives=True)(LISTS)
    assert model(shared.features).shape == (2, 3)
    cached = cached_scores(model, shared.features, micro_batch_tokens=16)
    torch.testing.assert_close(cached, model(shared.features))


def test_texts_are_encoded_in_their_order_whatever_the_batches(tiny_encoder_folder: Path) -> None:
    model = DenseEncoder.from_pretrained(tiny_encoder_folder, pooling="max", document_length=6)
    together = model.encode_documents(DOCUMENTS)
    alone = torch.cat([model.encode_documents([text], batch_size=1) for text in DOCUMENTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(len(DOCUMENTS)))
    expected = model.encode_queries(QUERIES) @ together.T
    torch.testing.assert_close(model.score(QUERIES, together), expected)


def test_a_gradient_reaches_the_encoder_behind_a_retriever(tiny_encoder_folder: Path) -> None:
    model = DenseEncoder.from_pretrained(tiny_encoder_folder)
    assert not model.encode_queries(QUERIES).requires_grad
    retriever = DenseRetriever(model.train(), DOCUMENTS)
    retriever(QUERIES[:1], 2).scores.sum().backward()
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())


def test_a_decoder_is_read_at_its_last_token(tiny_decoder_folder: Path) -> None:
    from transformers import AutoTokenizer, Qwen3Model

    model = DenseEncoder.from_pretrained(tiny_decoder_folder, pooling="last")
    decoder = Qwen3Model.from_pretrained(tiny_decoder_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_decoder_folder)
    with torch.no_grad():
        rows = [decoder(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, -1] for text in DOCUMENTS]
    expected = normalize(torch.stack(rows), dim=-1)
    torch.testing.assert_close(model.encode_documents(DOCUMENTS), expected, atol=1e-5, rtol=0)


def test_each_width_is_trained_and_truncation_gives_it(tiny_encoder_folder: Path) -> None:
    model = DenseEncoder.from_pretrained(tiny_encoder_folder, matryoshka_dims=[32, 8]).train()
    model.encoder.eval()
    batch = ListCollate(model.tokenizer, in_batch_negatives=True)(LISTS)
    scores = model(batch.features)
    MatryoshkaLoss(InfoNCELoss(temperature=0.05))(scores, batch.labels, batch.mask).backward()
    assert all(each.grad is not None for each in model.parameters())
    model.eval()
    for row, width in enumerate((32, 8)):
        torch.testing.assert_close(model.truncate(width)(batch.features), scores[row], atol=1e-5, rtol=0)
    full = model.truncate(None).encode_queries(QUERIES)
    torch.testing.assert_close(model.truncate(8).encode_queries(QUERIES), normalize(full[:, :8], dim=-1))


def test_a_folder_keeps_everything(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    first = DenseEncoder.from_pretrained(tiny_encoder_folder)
    model = DenseEncoder(
        first.backbone,
        first.text_tokenizer,
        pooling="weighted_mean",
        layers=[ProjectionLayer(32, 16, bias=True, activation=torch.nn.Tanh()), ProjectionLayer(16, 16, residual=True)],
        normalize=False,
        similarity="dot",
        scale=3.0,
        query_prompt="q: ",
        query_length=5,
        document_length=9,
        matryoshka_dims=[16, 4],
    ).eval()
    model.save_pretrained(tmp_path / "model")
    again = DenseEncoder.from_pretrained(tmp_path / "model")
    assert again.rules == model.rules
    assert (again.pooling, again.normalize, again.similarity) == ("weighted_mean", False, "dot")
    assert (again.scale, again.matryoshka_dims, again.dim) == (3.0, (16, 4), 16)
    documents = model.encode_documents(DOCUMENTS)
    torch.testing.assert_close(again.encode_documents(DOCUMENTS), documents)
    torch.testing.assert_close(again.score(QUERIES, documents), 3 * model.encode_queries(QUERIES) @ documents.T)


def test_what_cannot_be_is_said(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    model = DenseEncoder.from_pretrained(tiny_encoder_folder)
    with pytest.raises(InputError, match="pooling='sum' is unknown: choose one of cls"):
        DenseEncoder.from_pretrained(tiny_encoder_folder, pooling="sum")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="truncate_dim: 64 of 32 coordinates"):
        model.truncate(64)
    with pytest.raises(InputError, match="query 0"):
        model.encode_queries([" "])
    model.save_pretrained(tmp_path / "model")
    path = tmp_path / "model/1_Pooling/config.json"
    path.write_text(json.dumps({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}))
    with pytest.raises(InputError, match=r"pools by cls, mean: read is one of"):
        DenseEncoder.from_pretrained(tmp_path / "model")
    path.write_text(json.dumps({"pooling_mode_mean_tokens": True, "include_prompt": False}))
    with pytest.raises(InputError, match="include_prompt"):
        DenseEncoder.from_pretrained(tmp_path / "model")


def test_weights_of_half_precision_have_layers_too(tiny_encoder_folder: Path) -> None:
    plain = DenseEncoder.from_pretrained(tiny_encoder_folder)
    layer = ProjectionLayer(plain.dim, 8, bias=True, activation=torch.nn.Tanh())
    model = DenseEncoder(plain.backbone, plain.text_tokenizer, layers=[layer])
    expected = model.encode_documents(DOCUMENTS)
    found = model.bfloat16().encode_documents(DOCUMENTS)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
