"""The MaxSim stage: scores, index, gradients, files, bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rankgrad._checks import InputError
from rankgrad.models import ColBERT
from rankgrad.rerank import LateInteractionReranker
from rankgrad.types import Ranking

QUERIES = ["abd", "c"]


def expected_scores(encoder: Any, documents: tuple[str, ...], query: str) -> dict[int, float]:
    """MaxSim by its definition, from the encoder's table."""
    table = encoder.table.weight.detach()
    letters = [[table[ord(c) - 97] for c in text] for text in (query, *documents)]
    return {
        row: sum(max((float(q @ d) for d in document), default=-torch.inf) for q in letters[0])
        for row, document in enumerate(letters[1:])
    }


class NumpyEncoder:
    """The shape of ``rankgrad.deploy``'s ColBERT."""

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder

    def encode_queries(self, texts: list[str]) -> tuple[np.ndarray, ...]:
        return tuple(part.detach().numpy() for part in self.encoder.encode_queries(texts))

    def encode_documents(self, texts: list[str]) -> tuple[np.ndarray, ...]:
        return tuple(part.detach().numpy() for part in self.encoder.encode_documents(texts))


@pytest.mark.parametrize("wrap", [lambda encoder: encoder, NumpyEncoder], ids=["torch", "numpy"])
@pytest.mark.parametrize("k", [1, 3, 5, 100])
def test_scores_are_maxsim_and_the_tail_follows(
    wrap: Callable[[Any], Any], k: int, encoder: nn.Module, documents: tuple[str, ...], incoming: Ranking
) -> None:
    stage = LateInteractionReranker(wrap(encoder), documents, k=k)
    outgoing = stage(QUERIES, incoming)
    for row, query in enumerate(QUERIES):
        scores = expected_scores(encoder, documents, query)
        real = incoming.ids[row][incoming.mask[row]].tolist()
        head = sorted(real[:k], key=lambda document: -scores[document])
        assert outgoing.ids[row].tolist() == [*head, *real[k:], *[-1] * (5 - len(real))]
        found = outgoing.scores[row, : len(head)].tolist()
        assert found == pytest.approx([scores[document] for document in head], rel=1e-5)
    assert torch.equal(outgoing.mask.sum(1), incoming.mask.sum(1))
    assert not outgoing.scores.requires_grad


def test_an_empty_document_ranks_last(encoder: nn.Module, documents: tuple[str, ...]) -> None:
    incoming = Ranking(torch.tensor([[2, 0, 1]]), torch.tensor([[3.0, 2.0, 1.0]]), torch.ones(1, 3).bool())
    outgoing = LateInteractionReranker(encoder, documents, k=2)(["a"], incoming)  # type: ignore[arg-type]
    assert outgoing.ids.tolist() == [[0, 1, 2]]
    assert outgoing.scores[0, 2] == -torch.inf


def test_the_collection_is_encoded_once(encoder: Any, documents: tuple[str, ...], incoming: Ranking) -> None:
    stage = LateInteractionReranker(encoder, documents)
    with torch.inference_mode():
        first = stage(QUERIES, incoming)
    again = stage(QUERIES, incoming)
    assert encoder.encoded == list(documents)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert sorted(name for name, _ in stage.named_buffers()) == ["cu_seqlens", "embeddings"]


def test_a_query_with_nothing_to_rerank(encoder: Any, documents: tuple[str, ...], incoming: Ranking) -> None:
    nothing = Ranking(torch.full_like(incoming.ids, -1), incoming.scores, torch.zeros_like(incoming.mask))
    for mode in (False, True):
        outgoing = LateInteractionReranker(encoder.train(mode), documents)(QUERIES, nothing)
        assert not outgoing.mask.any()
        assert (outgoing.scores == -torch.inf).all()
    assert encoder.encoded == []


def test_training_encodes_afresh_and_drops_the_index(
    encoder: Any, documents: tuple[str, ...], incoming: Ranking
) -> None:
    encoder.dropout.p = 0.0
    stage = LateInteractionReranker(encoder, documents, k=3).index()
    indexed = stage(QUERIES, incoming)
    encoder.encoded.clear()
    stage.train()
    assert stage.embeddings is None
    outgoing = stage(QUERIES, incoming)
    assert sorted(encoder.encoded) == sorted({"dddda", "aab", "cccc", "abc", "bd"})
    assert torch.equal(outgoing.ids, indexed.ids)
    torch.testing.assert_close(outgoing.scores, indexed.scores)
    (-outgoing.scores[outgoing.mask].log_softmax(0)[0]).backward()
    assert encoder.table.weight.grad.abs().sum() > 0
    with torch.no_grad():
        assert not stage(QUERIES, incoming).scores.requires_grad
    assert stage.embeddings is not None


def test_without_gradients_there_is_no_dropout_and_modes_come_back(
    encoder: Any, documents: tuple[str, ...], incoming: Ranking
) -> None:
    quiet = LateInteractionReranker(encoder, documents)(QUERIES, incoming)
    encoder.train()
    with torch.no_grad():
        outgoing = LateInteractionReranker(encoder, documents)(QUERIES, incoming)
    assert torch.equal(quiet.scores, outgoing.scores)
    assert encoder.training
    assert encoder.dropout.training


def test_a_loss_on_the_ranking_trains_a_colbert(tiny_encoder_folder: Path) -> None:
    torch.manual_seed(0)
    texts = ("open a file", "sort a list", "parse a date from text", "join strings")
    model = ColBERT.from_pretrained(tiny_encoder_folder, dim=8)
    stage = LateInteractionReranker(model, texts, k=4)
    incoming = Ranking(torch.tensor([[0, 1, 2, 3]]), torch.zeros(1, 4), torch.ones(1, 4).bool())
    unpadded = stage(["sort values"], incoming)
    with torch.no_grad():
        embeddings, mask = model.encode_queries(["sort values"])
        alone = [(embeddings[0][mask[0]] @ model.encode_documents([text]).embeddings.T).amax(1).sum() for text in texts]
    torch.testing.assert_close(unpadded.scores[0], torch.stack(alone)[unpadded.ids[0]], rtol=1e-5, atol=1e-5)
    stage.train()
    outgoing = stage(["sort values"], incoming)
    wanted = (outgoing.ids[0] == 1).nonzero()[0, 0]
    (-outgoing.scores[0].log_softmax(0)[wanted]).backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert any("embeddings" in name for name in reached)
    assert any("projection" in name for name in reached)


def test_an_index_on_disk(encoder: Any, documents: tuple[str, ...], incoming: Ranking, tmp_path: Path) -> None:
    stage = LateInteractionReranker(encoder, documents)
    stage.save_index(tmp_path / "index")
    encoder.encoded.clear()
    other = LateInteractionReranker(encoder, documents).load_index(tmp_path / "index")
    assert torch.equal(other(QUERIES, incoming).scores, stage(QUERIES, incoming).scores)
    assert encoder.encoded == []
    with pytest.raises(InputError, match="indexes 6 other documents than these 6"):
        LateInteractionReranker(encoder, documents[::-1]).load_index(tmp_path / "index")
    path = tmp_path / "index" / "index.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="cut off or damaged"):
        other.load_index(tmp_path / "index")
    with pytest.raises(FileNotFoundError, match="no index"):
        other.load_index(tmp_path)


def test_state_dict_carries_the_index(encoder: Any, documents: tuple[str, ...], incoming: Ranking) -> None:
    stage = LateInteractionReranker(encoder, documents).index()
    other = LateInteractionReranker(type(encoder)().eval(), documents)
    other.load_state_dict(stage.state_dict())
    assert torch.equal(other(QUERIES, incoming).scores, stage(QUERIES, incoming).scores)
    assert other.encoder.encoded == []  # type: ignore[union-attr]


def test_progress_goes_to_stderr(encoder: Any, documents: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    LateInteractionReranker(encoder, documents).index(progress=True)
    captured = capsys.readouterr()
    assert "encoding documents" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("settings", "queries", "change", "message"),
    [
        ({"k": 0}, QUERIES, {}, "k=0 reranks nothing"),
        ({"first_stage_weight": float("nan")}, QUERIES, {}, "first_stage_weight=nan must be a finite number"),
        ({"documents": []}, QUERIES, {}, "no document given"),
        ({}, ["a"], {}, "2 rows for 1 queries"),
        ({}, ["a", " "], {}, "query 1 .* is empty"),
        ({}, QUERIES, {"ids": torch.full((2, 5), 6)}, "names rows 6 to 6, this stage holds 6 documents"),
        ({}, QUERIES, {"ids": torch.full((2, 5), -1)}, "names rows -1"),
    ],
)
def test_bad_input(
    settings: dict[str, Any],
    queries: list[str],
    change: dict[str, torch.Tensor],
    message: str,
    encoder: Any,
    documents: tuple[str, ...],
    incoming: Ranking,
) -> None:
    with pytest.raises(InputError, match=message):
        LateInteractionReranker(encoder, **{"documents": documents, **settings})(queries, incoming._replace(**change))


def test_a_state_of_other_documents_is_refused(encoder: Any, documents: tuple[str, ...]) -> None:
    state = LateInteractionReranker(encoder, documents[1:]).index().state_dict()
    with pytest.raises(InputError, match="the state indexes 5 documents, not these 6: pass the same ones"):
        LateInteractionReranker(encoder, documents).load_state_dict(state)


def test_an_index_of_another_encoder_is_refused(encoder: Any, documents: tuple[str, ...], incoming: Ranking) -> None:
    stage = LateInteractionReranker(encoder, documents).index()
    stage.encoder = type(encoder)(dim=3).eval()
    with pytest.raises(InputError, match="queries have 3 dimensions, the index 4"):
        stage(QUERIES, incoming)
