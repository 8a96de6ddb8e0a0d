"""Candidates that see each other: by a mask, without order, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, ListCollate, PairFeatures
from rankgrad.losses import SoftmaxLoss
from rankgrad.models import CrossEncoder

QUERY = "return the number of items"
DOCUMENTS = ["a list, and its items.", "open a file and read its lines", "join several strings", "x", "raise an error"]


@pytest.fixture(params=["cls", "interaction"])
def listwise(request: pytest.FixtureRequest, tiny_encoder_folder: Path) -> CrossEncoder:
    options = {"head": request.param, "max_length": 32, "query_length": 12}
    model = CrossEncoder.from_pretrained(tiny_encoder_folder, listwise=True, **options)
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model


def score(model: CrossEncoder, documents: list[str], query: str = QUERY) -> torch.Tensor:
    with torch.no_grad():
        return model.score([query] * len(documents), documents)


def test_order_does_not_matter_and_neighbours_do(listwise: CrossEncoder) -> None:
    order = [3, 0, 4, 2, 1]
    scores = score(listwise, DOCUMENTS)
    assert torch.equal(score(listwise, DOCUMENTS), scores)
    torch.testing.assert_close(score(listwise, [DOCUMENTS[i] for i in order]), scores[order], atol=1e-6, rtol=1e-6)
    fewer = score(listwise, DOCUMENTS[:3])
    assert ((fewer - scores[:3]).abs() > 1e-4).all()


def test_one_candidate_scores_as_alone(listwise: CrossEncoder) -> None:
    options = {"head": listwise.head_name, "max_length": 32, "query_length": 12}
    alone = CrossEncoder(listwise.backbone, listwise.text_tokenizer, **options).eval()  # type: ignore[arg-type]
    if listwise.head is not None:
        alone.own.load_state_dict(listwise.own.state_dict())
    for document in DOCUMENTS[:2]:
        torch.testing.assert_close(score(listwise, [document]), score(alone, [document]), atol=1e-6, rtol=1e-6)


def test_lists_do_not_see_each_other(listwise: CrossEncoder) -> None:
    first, second = score(listwise, DOCUMENTS[:3]), score(listwise, DOCUMENTS[2:], "open a file")
    queries = [QUERY, "open a file", QUERY, "open a file", QUERY, "open a file"]
    documents = [text for pair in zip(DOCUMENTS[:3], DOCUMENTS[2:], strict=True) for text in pair]
    with torch.no_grad():
        for budget in (1, 4096):
            mixed = listwise.score(queries, documents, token_budget=budget)
            torch.testing.assert_close(mixed[::2], first, atol=1e-6, rtol=1e-6)
            torch.testing.assert_close(mixed[1::2], second, atol=1e-6, rtol=1e-6)


def test_a_batch_of_lists_scores_as_texts_and_trains(listwise: CrossEncoder) -> None:
    # The last list shares a pair with the first, and its neighbours there are others.
    lists = [
        CandidateList(QUERY, tuple(DOCUMENTS), (1.0, 0.0, 0.0, 0.0, 0.0)),
        CandidateList("open a file", (DOCUMENTS[1], DOCUMENTS[3]), (1.0, 0.0)),
        CandidateList(QUERY, (DOCUMENTS[0], DOCUMENTS[3]), (1.0, 0.0)),
    ]
    batch = ListCollate(listwise.tokenizer, group_size=2)(lists)
    scores = listwise(batch.features)
    for row, one in enumerate(lists):
        expected = score(listwise, list(one.documents), one.query)
        torch.testing.assert_close(scores[row, : len(expected)].detach(), expected, atol=1e-6, rtol=1e-6)
    SoftmaxLoss()(scores, batch.labels, batch.mask).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in listwise.parameters())
    with pytest.raises(InputError, match="no mask"):
        listwise(batch.features._replace(mask=None))


def test_what_a_listwise_model_cannot_do(listwise: CrossEncoder, tmp_path: Path, tiny_encoder_folder: Path) -> None:
    batch = ListCollate(listwise.tokenizer)([CandidateList("a", ("b",), (1.0,))])
    assert isinstance(batch.features, PairFeatures)
    with pytest.raises(InputError, match="rows alone say nothing"):
        listwise.logits(batch.features.groups[0])
    with pytest.raises(InputError, match="packed batches only"):
        listwise.forward_tokens(*batch.features.groups[0][:3])
    with pytest.raises(InputError, match="leave out padding='grouped'"):
        CrossEncoder.from_pretrained(tiny_encoder_folder, listwise=True, padding="grouped")
    listwise.save_pretrained(tmp_path / "model")
    again = CrossEncoder.from_pretrained(tmp_path / "model")
    assert again.options.listwise
    torch.testing.assert_close(score(again, DOCUMENTS), score(listwise, DOCUMENTS))


def test_batches_without_a_candidate_and_sizes_below_1(listwise: CrossEncoder) -> None:
    lists = [CandidateList(QUERY, tuple(DOCUMENTS[:2]), (1.0, 0.0)), CandidateList("open", (DOCUMENTS[1],), (1.0,))]
    features = ListCollate(listwise.tokenizer)(lists).features
    assert isinstance(features, PairFeatures)
    assert features.mask is not None
    assert listwise(features._replace(mask=torch.zeros_like(features.mask))).tolist() == [[0.0, 0.0]] * 2
    for name in ("batch_size", "token_budget"):
        with pytest.raises(InputError, match=f"{name}=0: a batch needs at least 1"):
            listwise.score([QUERY], ["x"], **{name: 0})
