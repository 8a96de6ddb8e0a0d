"""Decoders with a head behind several layers, laid out as bge-reranker-v2.5-gemma2-lightweight is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.export import export_bundle
from rankgrad.models import CausalReranker
from rankgrad.prompts import BGE_LIGHTWEIGHT

QUERIES = ["open a file", "sort values"]
DOCUMENTS = ["open a file and read its lines", "a list, and its items."]
DEPTH, HEADS, CAP = 5, (1, 3, 5), 0.2


@pytest.fixture(scope="module")
def layered(tiny_decoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma 2 of 5 layers in two weight files, with heads behind layers 1, 3 and 5."""
    from transformers import AutoTokenizer, Gemma2Config, Gemma2ForCausalLM

    folder = tmp_path_factory.mktemp("tiny") / "layered"
    tokenizer = AutoTokenizer.from_pretrained(tiny_decoder_folder)
    tokenizer.save_pretrained(folder)
    size = {"hidden_size": 16, "num_hidden_layers": DEPTH, "num_attention_heads": 2, "num_key_value_heads": 1}
    size |= {"head_dim": 8, "intermediate_size": 24, "vocab_size": len(tokenizer), "initializer_range": 0.2}
    Gemma2ForCausalLM(Gemma2Config(**size, pad_token_id=0, final_logit_softcapping=CAP)).save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    weights = {name: weight for name, weight in weights.items() if name.startswith("model.")}
    heads = {f"lm_head.{place}.linear_head.weight": torch.randn(1, 16) for place in range(len(HEADS))}
    save_file(weights, folder / "model-00001-of-00002.safetensors", metadata={"format": "pt"})
    save_file(heads, folder / "model-00002-of-00002.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").unlink()
    places = dict.fromkeys(weights, "model-00001-of-00002.safetensors")
    places |= dict.fromkeys(heads, "model-00002-of-00002.safetensors")
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    change(
        folder,
        model_type="cost_wise_gemma",
        architectures=["CostWiseGemmaForCausalLM"],
        auto_map={"AutoModelForCausalLM": "gemma_model.CostWiseGemmaForCausalLM"},
        layer_wise=True,
        start_layer=1,
        layer_sep=2,
    )
    return folder


def change(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@torch.no_grad()
def expected(folder: Path, layer: int) -> torch.Tensor:
    """The capped product of a layer's head with the last token's normed state, one unpadded prompt at a time."""
    from transformers import AutoTokenizer, Gemma2Config, Gemma2Model

    told = json.loads((folder / "config.json").read_text())
    config = Gemma2Config(**{name: value for name, value in told.items() if name not in ("model_type", "auto_map")})
    whole = Gemma2Model(config).eval()
    weights = load_file(folder / "model-00001-of-00002.safetensors")
    whole.load_state_dict({name.removeprefix("model."): weight for name, weight in weights.items()})
    head = load_file(folder / "model-00002-of-00002.safetensors")[f"lm_head.{HEADS.index(layer)}.linear_head.weight"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    states: list[Any] = []
    whole.layers[layer - 1].register_forward_hook(lambda _, inputs, output: states.append(output))
    found = []
    for query, document in zip(QUERIES, DOCUMENTS, strict=True):
        text = f"A: {query}\nB: {document}\nPredict whether passage B contains an answer to query A."
        ids = [tokenizer.convert_tokens_to_ids("[CLS]"), *tokenizer(text, add_special_tokens=False).input_ids]
        whole(input_ids=torch.tensor([ids]))
        state = states[-1][0] if isinstance(states[-1], tuple) else states[-1]
        found.append(CAP * torch.tanh(whole.norm(state.reshape(-1, 16)[-1]) @ head[0] / CAP))
    return torch.stack(found)


@pytest.mark.parametrize("layer", HEADS)
def test_every_layer_scores_by_its_own_head(layered: Path, tmp_path: Path, layer: int) -> None:
    model = CausalReranker.from_pretrained(layered, layers=layer)
    scores = model.score(QUERIES, DOCUMENTS)
    torch.testing.assert_close(scores, expected(layered, layer), atol=1e-5, rtol=0)
    assert model.tokenizer.template == BGE_LIGHTWEIGHT
    if layer == DEPTH:
        whole = CausalReranker.from_pretrained(layered).score(QUERIES, DOCUMENTS)
        torch.testing.assert_close(whole, scores, atol=0, rtol=0)
    model.save_pretrained(tmp_path / "saved")
    again = CausalReranker.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(again.score(QUERIES, DOCUMENTS), scores, atol=0, rtol=0)
    assert len(again.backbone.model.layers) == layer  # type: ignore[union-attr, arg-type]


def test_an_exported_one_scores_alike(layered: Path, tmp_path: Path) -> None:
    model = CausalReranker.from_pretrained(layered, layers=3)
    export_bundle(model, tmp_path / "bundle", variants=(), rank_agreement=-1.0)
    exported = deploy.load(tmp_path / "bundle")
    assert isinstance(exported, deploy.CausalReranker)
    np.testing.assert_allclose(
        exported.score(QUERIES, DOCUMENTS), model.score(QUERIES, DOCUMENTS).numpy(), atol=1e-5, rtol=0
    )


def test_a_layer_without_a_head_and_files_without_it_are_refused(layered: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"layers=2: .* has heads behind its layers 1, 3, 5; choose one of them"):
        CausalReranker.from_pretrained(layered, layers=2)
    with pytest.raises(InputError, match=r"head='answer': .* scores by heads behind its layers"):
        CausalReranker.from_pretrained(layered, head="answer")
    folder = Path(shutil.copytree(layered, tmp_path / "without"))
    path = folder / "model-00002-of-00002.safetensors"
    heads = load_file(path)
    save_file({name: heads[name] for name in list(heads)[:2]}, path)
    with pytest.raises(InputError, match=r"00002-of-00002.safetensors holds no tensor lm_head\.2\.linear_head\.weight"):
        CausalReranker.from_pretrained(folder)
    save_file({name: weight[:, :8].contiguous() for name, weight in heads.items()}, path)
    with pytest.raises(InputError, match=r"the head of layer 5 is \[1, 8\], not \[1, 16\]"):
        CausalReranker.from_pretrained(folder)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="without cannot be loaded as a decoder"):
        CausalReranker.from_pretrained(folder)
    path.unlink()
    with pytest.raises(InputError, match="without cannot be loaded as a decoder"):
        CausalReranker.from_pretrained(folder)


@pytest.mark.parametrize("trust", [False, True])
def test_those_on_another_decoder_are_refused_by_name(tiny_decoder_folder: Path, tmp_path: Path, trust: bool) -> None:
    folder = Path(shutil.copytree(tiny_decoder_folder, tmp_path / "theirs"))
    kind = "LayerWiseMiniCPMForCausalLM"
    change(folder, model_type="minicpm", head_multi=True, head_type="simple", architectures=[kind], start_layer=8)
    with pytest.raises(InputError, match=f"is a {kind}, with heads of its own behind its layers from 8 on"):
        CausalReranker.from_pretrained(folder, trust_remote_code=trust)
