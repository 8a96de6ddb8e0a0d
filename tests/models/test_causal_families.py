"""Decoders unlike Llama: layers under other names, and a table of positions that has an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.models import CausalReranker
from rankgrad.models.causal_reranker_lengths import positions
from rankgrad.prompts import PromptTemplate

SHORT = PromptTemplate(before="sort: ", body="{query} / {document}", after=" a:", instruction="")
QUERIES, DOCUMENTS = ["open a file"] * 2, ["read its lines", "sort the values " * 40]
POSITIONS = 24


@pytest.fixture(scope="module", params=["gpt2", "opt", "gptj"])
def family(request: pytest.FixtureRequest, tiny_decoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder of 3 layers and 24 positions."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_decoder_folder)
    words: dict[str, Any] = {"vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    small = words | {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": POSITIONS}
    opt = words | {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "ffn_dim": 24}
    opt |= {"max_position_embeddings": POSITIONS, "word_embed_proj_dim": 16}
    folder = tmp_path_factory.mktemp("family") / request.param
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = {
            "gpt2": lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(**small)),
            "opt": lambda: transformers.OPTForCausalLM(transformers.OPTConfig(**opt)),
            "gptj": lambda: transformers.GPTJForCausalLM(transformers.GPTJConfig(**small, rotary_dim=4)),
        }[request.param]()
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def expected_scores(model: CausalReranker, folder: Path, layers: int) -> torch.Tensor:
    """From all logits of each prompt alone, of transformers' model with so many layers."""
    from transformers import AutoModelForCausalLM

    whole: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    holder, name = (whole.model.decoder, "layers") if hasattr(whole, "model") else (whole.transformer, "h")
    setattr(holder, name, getattr(holder, name)[:layers])
    tokens = model.tokenizer(QUERIES, DOCUMENTS)
    yes, no = model.tokenizer.answers
    rows = zip(torch.from_numpy(tokens.input_ids), tokens.lengths, strict=True)
    logits = torch.stack([whole(ids[None, : int(length)]).logits[0, -1] for ids, length in rows])
    return logits[:, yes] - logits[:, no]


@pytest.mark.parametrize("layers", [1, 3])
def test_the_first_layers_alone_give_their_own_scores(layers: int, family: Path, tmp_path: Path) -> None:
    model = CausalReranker.from_pretrained(family, template=SHORT, max_length=POSITIONS, query_length=8, layers=layers)
    scores = model.score(QUERIES, DOCUMENTS)
    assert scores.std() > 1e-5
    torch.testing.assert_close(scores, expected_scores(model, family, layers), atol=1e-5, rtol=0)
    model.save_pretrained(tmp_path)
    again = CausalReranker.from_pretrained(tmp_path)
    assert again.backbone.config.num_hidden_layers == layers  # type: ignore[union-attr]
    torch.testing.assert_close(again.score(QUERIES, DOCUMENTS), scores)
    with pytest.raises(InputError, match="layers=9: the model has 3"):
        CausalReranker.from_pretrained(family, template=SHORT, layers=9, max_length=POSITIONS, query_length=8)


def test_prompts_beyond_the_decoders_positions_are_cut_and_it_is_said_once(family: Path) -> None:
    model = CausalReranker.from_pretrained(family, template=SHORT, max_length=100, query_length=50)
    assert (model.tokenizer.max_length, model.tokenizer.query_length) == (POSITIONS, POSITIONS // 2)
    with pytest.warns(UserWarning, match=r"1 of 2 pairs were cut at the decoder's 24 positions.*max_length=100"):
        scores = model.score(QUERIES, DOCUMENTS)
    torch.testing.assert_close(scores, expected_scores(model, family, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(model.score(QUERIES, DOCUMENTS), scores)


def test_positions_that_are_computed_have_no_end(tiny_decoder_folder: Path) -> None:
    model = CausalReranker.from_pretrained(tiny_decoder_folder, template=SHORT, max_length=2000)
    assert positions(model.backbone) is None
    assert model.tokenizer.max_length == 2000


def test_a_decoder_without_a_list_of_layers_is_named(tiny_decoder_folder: Path) -> None:
    model = CausalReranker.from_pretrained(tiny_decoder_folder, template=SHORT)
    model.backbone.config.num_hidden_layers = 7  # type: ignore[union-attr]
    with pytest.raises(InputError, match="layers=1: Qwen3Model has no list of layers: leave it out"):
        CausalReranker(model.backbone, model.text_tokenizer, template=SHORT, layers=1)


@pytest.mark.parametrize(
    ("documents", "error", "message"),
    [
        ("abc", TypeError, "document: expected a sequence of strings, got one string"),
        (["a", None, "b"], TypeError, r"document 1 \(counting from 0\): expected a string, got NoneType"),
        ([], InputError, "no document given"),
    ],
)
def test_documents_are_texts(documents: Any, error: type[Exception], message: str, tiny_decoder_folder: Path) -> None:
    model = CausalReranker.from_pretrained(tiny_decoder_folder, template=SHORT)
    with pytest.raises(error, match=message):
        model.score(["open a file"] * 3, documents)
    assert model.score(["open a file"], [""]).isfinite().all()
