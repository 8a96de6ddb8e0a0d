"""Folders written by hand in each layout load with the rules they state; damaged ones say what is wrong."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from rankgrad._checks import InputError
from rankgrad.models import ColBERT, CrossEncoder, _folder
from rankgrad.modules import ProjectionHead
from rankgrad.tokens import PUNCTUATION, LateInteractionRules

WEIGHT = torch.linspace(-1, 1, 8 * 32).reshape(8, 32)
RULES = LateInteractionRules(query_prefix="[Q]", document_prefix="[D]", query_length=12, document_length=20)
TEXTS = ["open a file, and read its lines", "x"]


def write(path: Path, values: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values))


@pytest.fixture
def folder(tiny_encoder_folder: Path, tmp_path: Path) -> Path:
    """A copy of the encoder, to add files to."""
    return Path(shutil.copytree(tiny_encoder_folder, tmp_path / "model"))


def dense(folder: Path, name: str, config: dict, **tensors: torch.Tensor) -> None:
    sizes = {"in_features": 32, "out_features": 8, "bias": False}
    write(folder / name / "config.json", sizes | config)
    save_file({key.replace("_", "."): value for key, value in tensors.items()}, folder / name / "model.safetensors")


def pylate(folder: Path, **settings: object) -> None:
    kinds = ["sentence_transformers.models.Transformer", "pylate.models.Dense.Dense"]
    write(folder / "modules.json", [{"idx": i, "path": ["", "1_Dense"][i], "type": kinds[i]} for i in range(2)])
    base = {"query_prefix": "[Q]", "document_prefix": "[D]", "query_length": 12, "document_length": 20}
    write(folder / "config_sentence_transformers.json", base | settings)


def encoder_states(model: ColBERT, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        tokens = torch.tensor([ids])
        return model.backbone(tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state[0]


def ids_of(model: ColBERT, tokens: str) -> list[int]:
    return model.text_tokenizer.convert_tokens_to_ids(tokens.split())  # type: ignore[return-value]


def test_pylate_as_old_versions_wrote_it(folder: Path) -> None:
    pylate(folder, skiplist_words=["."], do_query_expansion=False)
    dense(folder, "1_Dense", {}, linear_weight=WEIGHT)
    model = ColBERT.from_pretrained(folder)
    assert model.rules == replace(RULES, query_expansion=False, skip_words=(".",))
    states = encoder_states(model, ids_of(model, "[CLS] [D] open a file . [SEP]"))
    wanted = nn.functional.normalize(states @ WEIGHT.T, dim=-1)[[0, 1, 2, 3, 4, 6]]
    with torch.no_grad():
        torch.testing.assert_close(model.encode_documents(["open a file."]).embeddings, wanted, atol=1e-5, rtol=0)


def test_dense_modules_one_after_another(folder: Path) -> None:
    """``act(W x + b) + R x``, with a matrix or the identity, in the order of modules.json."""
    pylate(folder, model_type="ColBERT")
    modules = [{"path": f"{place}_Dense", "type": "pylate.models.Dense.Dense"} for place in (1, 2)]
    write(folder / "modules.json", [{"path": "", "type": "sentence_transformers.models.Transformer"}, *modules])
    bias, straight, square = torch.linspace(0, 1, 8), WEIGHT.flip(0), torch.eye(8).flip(0)
    first = {"bias": True, "activation_function": "torch.nn.modules.activation.GELU", "use_residual": True}
    dense(folder, "1_Dense", first, linear_weight=WEIGHT, linear_bias=bias, residual_weight=straight)
    dense(folder, "2_Dense", {"in_features": 8, "use_residual": True}, linear_weight=square)
    model = ColBERT.from_pretrained(folder)
    states = encoder_states(model, ids_of(model, "[CLS] [D] open a file [SEP]"))
    inner = nn.functional.gelu(states @ WEIGHT.T + bias) + states @ straight.T
    wanted = nn.functional.normalize(inner @ square.T + inner, dim=-1)
    with torch.no_grad():
        torch.testing.assert_close(model.encode_documents(["open a file"]).embeddings, wanted, atol=1e-5, rtol=0)


def test_stanford(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    write(folder / "config.json", config | {"architectures": ["HF_ColBERT"]})
    state = {f"bert.{key}": value for key, value in load_file(folder / "model.safetensors").items()}
    save_file(state | {"linear.weight": WEIGHT}, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {"query_token_id": "[Q]", "doc_token_id": "[D]", "query_maxlen": 12, "doc_maxlen": 20}
    write(folder / "artifact.metadata", settings | {"attend_to_mask_tokens": True, "mask_punctuation": False})
    model = ColBERT.from_pretrained(folder)
    assert model.rules == replace(RULES, attend_to_expansion=True, skip_words=())
    assert torch.equal(model.projection.layers[0].linear.weight, WEIGHT)
    write(folder / "artifact.metadata", {"config": settings})
    assert ColBERT.from_pretrained(folder).rules == replace(RULES, skip_words=PUNCTUATION)


def test_stanfords_class_finds_its_weights(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    """Its model is a pretrained BERT class with the encoder as ``bert`` and the projection as ``linear``."""
    from transformers import BertModel, BertPreTrainedModel

    class Theirs(BertPreTrainedModel):
        def __init__(self, config) -> None:
            super().__init__(config)
            self.linear = nn.Linear(config.hidden_size, 8, bias=False)
            self.bert = BertModel(config, add_pooling_layer=False)
            self.post_init()

    ours = ColBERT.from_pretrained(tiny_encoder_folder, rules=RULES, dim=8)
    ours.save_pretrained(tmp_path / "model", layout="stanford")
    with _folder.quiet():
        theirs, found = Theirs.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    tokens = torch.tensor([ids_of(ours, "[CLS] [D] open a file [SEP]")])
    with torch.no_grad():
        states = theirs.linear(theirs.bert(tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state)
        wanted = nn.functional.normalize(states[0], dim=-1)
        torch.testing.assert_close(ours.encode_documents(["open a file"]).embeddings, wanted, atol=1e-5, rtol=0)
    settings = json.loads((tmp_path / "model" / "artifact.metadata").read_text())
    assert settings["dim"] == 8
    assert [settings[key] for key in ("query_maxlen", "doc_maxlen", "doc_token_id")] == [12, 20, "[D]"]


def test_stanfords_weights_in_torchs_own_file(folder: Path, tmp_path: Path) -> None:
    ours = ColBERT.from_pretrained(folder, rules=RULES, dim=8)
    ours.save_pretrained(tmp_path / "theirs", layout="stanford")
    weights = tmp_path / "theirs/model.safetensors"
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    again = ColBERT.from_pretrained(tmp_path / "theirs")
    with torch.no_grad():
        torch.testing.assert_close(again.encode_documents(TEXTS).embeddings, ours.encode_documents(TEXTS).embeddings)


def test_plain_sequence_classifier_both_ways(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

    config = BertConfig.from_pretrained(folder, num_labels=1)
    theirs = BertForSequenceClassification(config).eval()
    with _folder.quiet():
        theirs.save_pretrained(folder)
    ours = CrossEncoder.from_pretrained(folder)
    assert (ours.head_name, ours.tokenizer.max_length) == ("cls", 512)
    ours.save_pretrained(tmp_path / "ours")
    assert not (tmp_path / "ours" / "head.safetensors").exists()
    with _folder.quiet():
        again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "ours").eval()
    pair = ours.text_tokenizer(["open a file"], ["x"], return_tensors="pt")
    with torch.no_grad():
        scores = ours.score(["open a file"], ["x"])
        for model in (theirs, again):
            torch.testing.assert_close(model(**pair).logits[:, 0], scores, atol=1e-5, rtol=0)


def test_sentence_transformers(folder: Path) -> None:
    library = "sentence_transformers"
    kinds = {"": f"{library}.base.modules.transformer.Transformer", "1_Dense": f"{library}.base.modules.dense.Dense"}
    kinds["2_MultiVectorMask"] = f"{library}.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask"
    kinds["3_Normalize"] = f"{library}.base.modules.normalize.Normalize"
    write(folder / "modules.json", [{"path": path, "type": kind} for path, kind in kinds.items()])
    dense(folder, "1_Dense", {"activation_function": "torch.nn.modules.linear.Identity"}, linear_weight=WEIGHT)
    write(folder / "2_MultiVectorMask" / "config.json", {"skiplist_words": ["."], "skiplist_tasks": ["document"]})
    expansion = {"strategy": "min", "attend": False, "token": None, "length": 8}
    lengths = {"query_length": 12, "document_length": 20, "query_expansion": expansion}
    write(folder / "sentence_bert_config.json", lengths)
    prompts = {"query": "[Q]", "document": "open a "}
    write(folder / "config_sentence_transformers.json", {"model_type": "MultiVectorEncoder", "prompts": prompts})
    model = ColBERT.from_pretrained(folder)
    wanted = replace(RULES, document_prefix="", document_prompt="open a ", expansion_length=8, skip_words=(".",))
    assert model.rules == wanted
    # "min": a short query is filled to 8 tokens, a long one is neither cut there nor filled.
    tokens = model.tokenizer.queries(["x", "open a file and read its lines"])
    assert tokens.scored.sum(1).tolist() == [8, 10]
    assert tokens.attention_mask.sum(1).tolist() == [4, 10]
    assert model.tokenizer.documents(["file"]).input_ids.tolist() == [ids_of(model, "[CLS] open a file [SEP]")]


def test_lower_case_is_the_folders_wish_not_the_tokenizers(folder: Path, tmp_path: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    write(folder / "tokenizer.json", tokenizer)
    pylate(folder)
    dense(folder, "1_Dense", {}, linear_weight=WEIGHT)

    def ids(path: Path) -> list[int]:
        return ColBERT.from_pretrained(path, rules=RULES).tokenizer.documents(["Open"]).input_ids[0].tolist()

    small = [2, 6, json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]["open"], 3]
    assert ids(folder) != small
    write(folder / "sentence_bert_config.json", {"do_lower_case": True})
    assert ids(folder) == small
    ColBERT.from_pretrained(folder).save_pretrained(tmp_path / "ours")
    assert ids(tmp_path / "ours") == small


@pytest.mark.parametrize("layout", ["pylate", "sentence-transformers", "stanford", "rankgrad"])
def test_every_layout_keeps_the_scores_and_the_rules(tiny_encoder_folder: Path, tmp_path: Path, layout: str) -> None:
    head = None if layout == "stanford" else ProjectionHead(depth=2, activation=nn.Tanh(), residual=True)
    model = ColBERT.from_pretrained(tiny_encoder_folder, rules=RULES, dim=8, head=head, matryoshka_dims=[8, 4])
    model.save_pretrained(tmp_path / "model", layout=layout)  # type: ignore[arg-type]
    again = ColBERT.from_pretrained(tmp_path / "model")
    assert (again.rules, again.matryoshka_dims) == (RULES, (8, 4))
    with torch.no_grad():
        packed = model.encode_documents(TEXTS)
        torch.testing.assert_close(again.score(["x"], again.encode_documents(TEXTS)), model.score(["x"], packed))


def test_what_a_layout_cannot_hold(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    gated = ProjectionHead(depth=2, activation=nn.SiLU(), gated=True)
    model = ColBERT.from_pretrained(tiny_encoder_folder, rules=RULES, dim=8, head=gated)
    for layout in ("pylate", "sentence-transformers", "stanford"):
        with pytest.raises(InputError, match=r"no place in the .* layout"):
            model.save_pretrained(tmp_path / "model", layout=layout)
    assert list(tmp_path.iterdir()) == []
    model.save_pretrained(tmp_path / "model")
    again = ColBERT.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        torch.testing.assert_close(again.encode_documents(TEXTS).embeddings, model.encode_documents(TEXTS).embeddings)
    with pytest.raises(InputError, match="holds a colbert"):
        CrossEncoder.from_pretrained(tmp_path / "model")


def without(folder: Path, *names: str, **more: torch.Tensor) -> None:
    state = load_file(folder / "model.safetensors")
    kept = {key: value for key, value in state.items() if key not in names}
    save_file(kept | more, folder / "model.safetensors", metadata={"format": "pt"})


def another_architecture(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    write(folder / "config.json", config | {"model_type": "roberta", "hidden_size": 48})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded"),
        (lambda folder: without(folder, "embeddings.LayerNorm.weight"), "lacks 1 tensors.*embeddings.LayerNorm.weight"),
        (lambda folder: without(folder, shade=torch.ones(2)), "holds 1 tensors.*shade"),
        (another_architecture, "cannot be loaded|another architecture"),
        (lambda folder: shutil.rmtree(folder / "1_Dense"), "1_Dense.config.json is missing"),
        (lambda folder: write(folder / "1_Dense/config.json", {"bias": False}), "no 'in_features'"),
        (lambda folder: dense(folder, "1_Dense", {}, linear_bias=torch.ones(8)), "belongs to another model"),
        (lambda folder: dense(folder, "1_Dense", {"in_features": 16}, linear_weight=torch.ones(8, 16)), "gets 32"),
        (
            lambda folder: dense(folder, "1_Dense", {"activation_function": "os.abort"}, linear_weight=WEIGHT),
            "only those of torch.nn",
        ),
    ],
)
def test_a_folder_that_is_not_whole(folder: Path, damage, message: str) -> None:
    pylate(folder)
    dense(folder, "1_Dense", {}, linear_weight=WEIGHT)
    damage(folder)
    with pytest.raises(InputError, match=message):
        ColBERT.from_pretrained(folder)


def test_another_architecture_is_named_for_a_cross_encoder_too(folder: Path) -> None:
    without(folder, *(key for key in load_file(folder / "model.safetensors") if "layer.1." in key))
    with pytest.raises(InputError, match=r"lacks 16 tensors of a BertForSequenceClassification \(bert.encoder.layer.1"):
        CrossEncoder.from_pretrained(folder, head="cls")


def test_a_classifier_of_three_labels(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    labels = {str(number): str(number) for number in range(3)}
    write(folder / "config.json", config | {"architectures": ["BertForSequenceClassification"], "id2label": labels})
    with pytest.raises(InputError, match="classifies into 3 labels"):
        CrossEncoder.from_pretrained(folder)


def test_expansion_without_a_mask_token(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("mask_token")
    write(folder / "tokenizer_config.json", settings)
    with pytest.raises(InputError, match="no mask token"):
        ColBERT.from_pretrained(folder)
    assert not ColBERT.from_pretrained(folder, rules=replace(RULES, query_expansion=False)).rules.query_expansion


def test_texts_beyond_the_encoders_positions_are_cut_counted_and_said_once(tiny_encoder_folder: Path) -> None:
    rules = LateInteractionRules(document_length=4000, query_expansion=False)
    model = ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=8)
    assert model.rules.document_length == 512
    long = ["file " * 600, "a file", "open " * 700]
    model.requires_grad_(False)
    with pytest.warns(UserWarning, match=r"2 of 3 document texts were cut .* 512 positions"):
        packed = model.encode_documents(long)
    model.encode_documents(long)
    assert packed.cu_seqlens.diff().tolist() == [512, 4, 512]
    assert model.tokenizer.cut == {"document": 4}
