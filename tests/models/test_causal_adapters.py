"""Adapters that PEFT trained, on heads, biases and whole modules too: scores are those of PEFT's own model."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rankgrad._checks import InputError
from rankgrad.data import CandidateList
from rankgrad.data.collate import ListCollate
from rankgrad.models import CausalReranker, _causal_backbone
from rankgrad.prompts import PromptTemplate

peft: Any = pytest.importorskip("peft", reason="needs the lora extra")

SHORT = PromptTemplate(before="sort: ", body="{query} / {document}", after=" a:", instruction="")
QUERIES = ["return the number of items", "open a file", "open a file"]
DOCUMENTS = ["a list, and its items.", "open a file and read its lines", "x"]
HEAD = ["q_proj", "lm_head"]
Adapt = Callable[..., Path]


@pytest.fixture(scope="module")
def folders(tiny_decoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Decoders: a plain one, one whose head shares the input embeddings and is capped, one with biases everywhere."""
    from transformers import AutoTokenizer, Gemma2Config, Gemma2ForCausalLM, PhiConfig, PhiForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tiny_decoder_folder)
    size: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    size |= {"num_key_value_heads": 2, "intermediate_size": 24, "vocab_size": len(tokenizer), "pad_token_id": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        models = {
            "tied": Gemma2ForCausalLM(Gemma2Config(**size, head_dim=8, final_logit_softcapping=0.5)),
            "biased": PhiForCausalLM(PhiConfig(**size)),
        }
    found = {"plain": tiny_decoder_folder}
    for name, model in models.items():
        found[name] = tmp_path_factory.mktemp("adapted") / name
        model.save_pretrained(found[name])
        tokenizer.save_pretrained(found[name])
    return found


@pytest.fixture
def adapt(folders: dict[str, Path], tmp_path: Path) -> Adapt:
    """Lets PEFT write an adapter with random weights."""

    def write(base: str, name: str = "theirs", *, safe: bool = True, **options: Any) -> Path:
        model = _theirs(folders[base], lambda model: peft.get_peft_model(model, peft.LoraConfig(r=2, **options)))
        torch.manual_seed(1)
        with torch.no_grad():
            for key, value in model.named_parameters():
                if value.requires_grad or "lora_" in key:
                    value.add_(0.3 * torch.randn_like(value))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save_pretrained(tmp_path / name, safe_serialization=safe)
        return tmp_path / name

    return write


def _theirs(folder: Path, change: Callable[[nn.Module], Any]) -> Any:
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT says much about heads that share a matrix.
        return change(AutoModelForCausalLM.from_pretrained(folder, dtype="float32")).eval()


@torch.no_grad()
def scores_by_peft(model: CausalReranker, base: Path, adapter: Path) -> torch.Tensor:
    """The logits of the last tokens, each prompt alone."""
    theirs = _theirs(base, lambda model: peft.PeftModel.from_pretrained(model, str(adapter)))
    tokens = model.tokenizer(QUERIES, DOCUMENTS)
    yes, no = model.tokenizer.answers
    found = []
    for ids, length in zip(torch.from_numpy(tokens.input_ids), tokens.lengths, strict=True):
        logits = theirs(ids[None, : int(length)]).logits[0, -1]
        found.append(logits[yes] - logits[no])
    return torch.stack(found)


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "head": ("plain", {"target_modules": HEAD}),
    "head-alone-scaled": ("plain", {"target_modules": ["lm_head"], "use_rslora": True}),
    "tied-head": ("tied", {"target_modules": HEAD}),
    "tied-embeddings": ("tied", {"target_modules": ["q_proj", "embed_tokens"]}),
    "whole-head": ("plain", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
    "tied-whole-head": ("tied", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
    "tied-whole-embeddings": ("tied", {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}),
    "tied-whole-both": ("tied", {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}),
    "whole-norm": ("plain", {"target_modules": ["q_proj"], "modules_to_save": ["input_layernorm"]}),
    "biases": ("biased", {"target_modules": HEAD, "lora_bias": True}),
    "base-biases": ("biased", {"target_modules": HEAD, "bias": "all"}),
    "torch-file": ("plain", {"target_modules": ["q_proj"], "safe": False}),
}


@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_of_pefts_model_and_of_what_is_saved(
    case: str, folders: dict[str, Path], adapt: Adapt, tmp_path: Path
) -> None:
    base, options = CASES[case]
    adapter = adapt(base, **options)
    if not options.get("safe", True):
        assert not (adapter / "adapter_model.safetensors").exists()
    model = CausalReranker.from_pretrained(folders[base], adapter=adapter, template=SHORT)
    scores = model.score(QUERIES, DOCUMENTS)
    assert scores.std() > 1e-4
    torch.testing.assert_close(scores, scores_by_peft(model, folders[base], adapter), atol=1e-5, rtol=0)

    model.save_pretrained(tmp_path / "merged")
    model.save_adapter(tmp_path / "adapter")
    merged = CausalReranker.from_pretrained(tmp_path / "merged")
    again = CausalReranker.from_pretrained(folders[base], adapter=tmp_path / "adapter")
    for each in (merged, again):
        torch.testing.assert_close(each.score(QUERIES, DOCUMENTS), scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(scores_by_peft(again, folders[base], tmp_path / "adapter"), scores, atol=1e-5, rtol=0)
    if base == "tied":
        assert json.loads((tmp_path / "merged/config.json").read_text())["tie_word_embeddings"] is False


@pytest.mark.parametrize("case", ["head", "tied-head", "biases"])
def test_gradients_of_the_heads_updates_are_those_of_the_whole_head(
    case: str, folders: dict[str, Path], adapt: Adapt
) -> None:
    base, options = CASES[case]
    model = CausalReranker.from_pretrained(folders[base], adapter=adapt(base, **options), template=SHORT)
    batch: Any = ListCollate(model.tokenizer)([CandidateList("open a file", tuple(DOCUMENTS), (1.0, 0.0, 0.0))])
    found = []
    for score in (model.logits, lambda group: _causal_backbone.whole_scores(model.backbone, group, model.answers)):
        model.zero_grad()
        torch.cat([score(group) for group in batch.features.groups]).sum().backward()
        found.append({key: value.grad for key, value in model.named_parameters() if value.grad is not None})
    assert found[0].keys() == found[1].keys()
    assert sum("lm_head.lora_" in key for key in found[0]) == (3 if case == "biases" else 2)
    for key, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][key], atol=1e-4, rtol=1e-4)


def test_the_heads_updates_drop_out_in_training_alone(tiny_decoder_folder: Path) -> None:
    options: dict[str, Any] = {"lora_rank": 2, "lora_targets": ["lm_head"], "lora_dropout": 0.5, "template": SHORT}
    model = CausalReranker.from_pretrained(tiny_decoder_folder, **options)
    nn.init.normal_(model.backbone.get_parameter("lm_head.lora_B.default.weight"))
    scores = model.score(QUERIES, DOCUMENTS)
    assert torch.equal(model.score(QUERIES, DOCUMENTS), scores)
    model.train()
    torch.manual_seed(0)
    assert not torch.allclose(model.score(QUERIES, DOCUMENTS), model.score(QUERIES, DOCUMENTS), atol=1e-3)


def test_updates_of_a_head_that_shares_the_embeddings_leave_those_as_they_are(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"lora_rank": 2, "lora_targets": ["lm_head"], "template": SHORT}
    model = CausalReranker.from_pretrained(folders["tied"], **options)
    nn.init.normal_(model.backbone.get_parameter("lm_head.lora_B.default.weight"))
    model.save_pretrained(tmp_path)
    again = CausalReranker.from_pretrained(tmp_path)
    torch.testing.assert_close(again.score(QUERIES, DOCUMENTS), model.score(QUERIES, DOCUMENTS), atol=1e-5, rtol=0)
    plain = CausalReranker.from_pretrained(folders["tied"], template=SHORT, lora_rank=2)
    assert plain.backbone.config.tie_word_embeddings  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_modules": ["q_proj"], "use_dora": True}, r"an adapter with use_dora, which is not read: merge it"),
        ({"target_modules": HEAD, "trainable_token_indices": [3]}, r"an adapter with trainable_token_indices"),
        ({"target_modules": ["q_proj"], "lora_bias": True}, r"updates the bias of model\.layers\.0.*lora_bias"),
    ],
)
def test_what_is_not_read_is_named(
    options: dict[str, Any], message: str, tiny_decoder_folder: Path, adapt: Adapt
) -> None:
    adapter = adapt("plain", **options)
    with pytest.raises(InputError, match=message):
        CausalReranker.from_pretrained(tiny_decoder_folder, adapter=adapter, template=SHORT)


def test_an_adapter_without_weights_is_named(tiny_decoder_folder: Path, adapt: Adapt, tmp_path: Path) -> None:
    adapter = Path(shutil.copytree(adapt("plain", target_modules=["q_proj"]), tmp_path / "empty"))
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"adapter_model\.safetensors cannot be read"):
        CausalReranker.from_pretrained(tiny_decoder_folder, adapter=adapter, template=SHORT)
