"""The cross-encoder's three heads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, ListCollate
from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.models import _folder as folder_tools
from rankgrad.modules.cross_attention import restarted_positions
from rankgrad.tokens import LateInteractionRules, LateInteractionTokenizer, PairTokenizer

QUERY = "return the number of items"
DOCUMENTS = ["a list, and its items.", "open a file and read its lines", "join several strings", "x"]


def test_lists_score_as_single_pairs(cross_encoder: CrossEncoder) -> None:
    lists = [
        CandidateList(QUERY, tuple(DOCUMENTS), (1.0, 0.0, 0.0, 0.0)),
        CandidateList("open a file", (DOCUMENTS[1], DOCUMENTS[3]), (1.0, 0.0)),
    ]
    batch = ListCollate(cross_encoder.tokenizer, group_size=2)(lists)
    with torch.no_grad():
        scores = cross_encoder(batch.features)
        alone = [cross_encoder.score([one.query], [text]) for one in lists for text in one.documents]
    torch.testing.assert_close(scores[batch.mask], torch.cat(alone), atol=1e-5, rtol=0)


def test_order_and_batch_size_do_not_matter(cross_encoder: CrossEncoder) -> None:
    with torch.no_grad():
        whole = cross_encoder.score([QUERY] * 4, DOCUMENTS)
        backwards = cross_encoder.score([QUERY] * 4, DOCUMENTS[::-1], batch_size=1)
    torch.testing.assert_close(whole, backwards.flip(0), atol=1e-5, rtol=0)


def test_folder_gives_the_same_model_back(cross_encoder: CrossEncoder, tmp_path: Path) -> None:
    for parameter in cross_encoder.parameters():
        parameter.data.add_(0.01)
    cross_encoder.save_pretrained(tmp_path / "model")
    again = CrossEncoder.from_pretrained(tmp_path / "model")
    assert again.head_name == cross_encoder.head_name
    assert again.tokenizer.settings() == cross_encoder.tokenizer.settings()
    with torch.no_grad():
        torch.testing.assert_close(again.score([QUERY], DOCUMENTS[:1]), cross_encoder.score([QUERY], DOCUMENTS[:1]))


def test_sentence_transformers_reads_the_cls_folder(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers", reason="needs the bench extra")
    model = CrossEncoder.from_pretrained(tiny_encoder_folder, head="cls")
    model.save_pretrained(tmp_path / "model")
    with folder_tools.quiet():
        peer = sentence_transformers.CrossEncoder(str(tmp_path / "model"), device="cpu")
        theirs = peer.predict([(QUERY, text) for text in DOCUMENTS], activation_fn=torch.nn.Identity())
    with torch.no_grad():
        ours = model.score([QUERY] * 4, DOCUMENTS)
    torch.testing.assert_close(torch.as_tensor(theirs), ours, atol=1e-5, rtol=0)
    assert CrossEncoder.from_pretrained(tmp_path / "model").head_name == "cls"


@pytest.mark.parametrize("head", ["mean", "interaction"])
def test_untrained_head_ranks_a_copy_of_the_query_first(tiny_encoder_folder: Path, head: str) -> None:
    model = CrossEncoder.from_pretrained(tiny_encoder_folder, head=head)  # type: ignore[arg-type]
    with torch.no_grad():
        scores = model.score([QUERY] * 3, ["parse a date", QUERY, "q z 7"])
    assert scores.argmax() == 1


def test_the_document_is_cut_and_the_query_kept(cross_encoder: CrossEncoder) -> None:
    tokens = cross_encoder.tokenizer([QUERY], ["word " * 100_000])
    assert tokens.input_ids.shape == (1, 32)
    assert tokens.token_type_ids[0].tolist() == [0] * 7 + [1] * 25


def test_pairs_beyond_the_encoders_positions_are_cut_counted_and_said_once(tiny_encoder_folder: Path) -> None:
    model = CrossEncoder.from_pretrained(tiny_encoder_folder, max_length=1000, query_length=400)
    assert (model.tokenizer.max_length, model.tokenizer.query_length) == (512, 256)
    pairs = [QUERY] * 2, ["open a file " * 300, "x"]
    with pytest.warns(UserWarning, match=r"1 of 2 pairs were cut at the encoder's 512 positions; max_length=1000"):
        model.score(*pairs)
    model.score(*pairs)


def test_gradients_reach_encoder_and_head(cross_encoder: CrossEncoder) -> None:
    assert not cross_encoder.score([QUERY] * 2, DOCUMENTS[:2]).requires_grad
    cross_encoder.train().score([QUERY] * 2, DOCUMENTS[:2]).diff().sum().backward()
    moved = {name.split(".")[0] for name, p in cross_encoder.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == ({"encoder"} if cross_encoder.head is None else {"encoder", "head", "across"})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.score([""], ["x"]), "query 0 .* is empty"),
        (lambda model: model.score([], []), "no query given"),
        (lambda model: model.score(["a", "b"], ["x"]), "got 2 and 1"),
    ],
)
def test_bad_pairs(cross_encoder: CrossEncoder, call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(cross_encoder)  # type: ignore[operator]


@pytest.mark.parametrize("documents", ["ab", ["a", None]])
def test_documents_that_are_no_strings(cross_encoder: CrossEncoder, documents: Any) -> None:
    with pytest.raises(TypeError, match="document"):
        cross_encoder.score(["sort", "open"], documents)


def test_lengths_and_prefixes_that_cannot_be(cross_encoder: CrossEncoder) -> None:
    backend = cross_encoder.text_tokenizer.backend_tokenizer
    with pytest.raises(InputError, match=r"max_length=8 leaves no room .* query_length=5 and 3 special tokens:"):
        PairTokenizer(backend, max_length=8, query_length=5)
    with pytest.raises(InputError, match="got 2 and 1"):
        cross_encoder.tokenizer(["a", "b"], ["x"])
    with pytest.raises(InputError, match="query_prefix='ask' is no token"):
        LateInteractionTokenizer(backend, LateInteractionRules(query_prefix="ask"), mask_id=0)


def test_unknown_head(tiny_encoder_folder: Path) -> None:
    with pytest.raises(InputError, match="choose one of cls, mean, interaction"):
        CrossEncoder.from_pretrained(tiny_encoder_folder, head="max")  # type: ignore[arg-type]


def test_settings_of_another_kind_or_another_head(cross_encoder: CrossEncoder, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    cross_encoder.save_pretrained(folder)
    settings = folder / "rankgrad_model.json"
    settings.write_text(json.dumps({"kind": "colbert"}))
    with pytest.raises(InputError, match="no cross-encoder"):
        CrossEncoder.from_pretrained(folder)


def test_a_colbert_folder_is_no_trained_cross_encoder(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    ColBERT.from_pretrained(tiny_encoder_folder, dim=8).save_pretrained(tmp_path / "colbert")
    warm = CrossEncoder.from_pretrained(tmp_path / "colbert", head="interaction")
    start = CrossEncoder.from_pretrained(tiny_encoder_folder, head="interaction")
    with torch.no_grad():
        torch.testing.assert_close(warm.score([QUERY], DOCUMENTS[:1]), start.score([QUERY], DOCUMENTS[:1]))


def test_a_very_low_bias_reads_the_texts_apart(tiny_encoder_folder: Path) -> None:
    model = CrossEncoder.from_pretrained(tiny_encoder_folder, cross_attention_bias=-1e4)
    tokens = model.tokenizer([QUERY, QUERY], DOCUMENTS[1:3])
    ids, attended, segments = (torch.from_numpy(field) for field in tokens[:3])
    side = segments.bool()
    assert model.across is not None
    with torch.no_grad():
        hidden = model.encoder(ids, model.across(attended, side), torch.zeros_like(ids), restarted_positions(side))
        alone = model.encoder(ids[:1, :7], attended[:1, :7])
    torch.testing.assert_close(hidden[0, :7], hidden[1, :7])
    torch.testing.assert_close(hidden[:1, :7], alone, atol=1e-5, rtol=0)
    joint = CrossEncoder.from_pretrained(tiny_encoder_folder, cross_attention_bias=0.0)
    assert joint.across is not None
    with torch.no_grad():
        mixed = joint.encoder(ids, joint.across(attended, side), torch.zeros_like(ids), restarted_positions(side))
    assert (mixed[0, :7] - mixed[1, :7]).abs().max() > 1e-3


def test_a_tokenizer_without_segments_gives_none(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder_folder)
    torch.manual_seed(0)
    plain = AutoModelForSequenceClassification.from_pretrained(tiny_encoder_folder, num_labels=1).eval()
    plain.save_pretrained(tmp_path)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(tmp_path)
    pair = "sort a list", "open a file"
    with torch.inference_mode():
        found = CrossEncoder.from_pretrained(tmp_path).score([pair[0]], [pair[1]])
        asked = AutoTokenizer.from_pretrained(tmp_path)(*pair, return_tensors="pt")
        assert set(asked) == {"input_ids", "attention_mask"}
        torch.testing.assert_close(found, plain(**asked).logits[:, 0])
        segmented = asked | {"token_type_ids": (torch.arange(asked["input_ids"].shape[1]) > 4).long()[None]}
        assert (plain(**segmented).logits[:, 0] - found).abs() > 1e-4
