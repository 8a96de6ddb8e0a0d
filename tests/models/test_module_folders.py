"""Cross-encoders written by hand as rows of modules load with the scores of their formula; damaged ones say where."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, ListCollate
from rankgrad.models import CausalReranker, CrossEncoder
from rankgrad.modules import PooledClassifier, ProjectionLayer
from rankgrad.modules.pooling import POOLINGS
from rankgrad.training.backbone import keep_few_activations

QUERIES = ["return the number of items", "open a file"]
DOCUMENTS = ["a list, and its items.", "open a file and read its lines"]
LIBRARY = "sentence_transformers."
TYPES = {
    "Transformer": LIBRARY + "base.modules.transformer.Transformer",
    "Pooling": LIBRARY + "sentence_transformer.modules.pooling.Pooling",
    "Dense": LIBRARY + "base.modules.dense.Dense",
    "LayerNorm": LIBRARY + "sentence_transformer.modules.layer_norm.LayerNorm",
    "Dropout": LIBRARY + "sentence_transformer.modules.dropout.Dropout",
}
FIRST, LAST = torch.arange(8.0 * 32).sin().reshape(8, 32), 4 * torch.arange(8.0).cos().reshape(1, 8)
SHIFT = torch.linspace(-0.5, 0.5, 8)


def write(path: Path, values: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values))


def change(path: Path, **values: object) -> None:
    write(path, json.loads(path.read_text()) | values)


def modules(folder: Path, *names: str) -> None:
    places = enumerate(("Transformer", *names))
    listed = [{"path": f"{place}_{name}" if place else "", "type": TYPES.get(name, name)} for place, name in places]
    write(folder / "modules.json", listed)


def tensors(folder: Path, name: str, **values: Tensor) -> None:
    save_file({key.replace("_", "."): value for key, value in values.items()}, folder / name / "model.safetensors")


@pytest.fixture
def folder(tiny_encoder_folder: Path, tmp_path: Path) -> Path:
    """The tiny encoder with the mean of its states, a layer with GELU, a norm, and a layer that gives the score."""
    folder = Path(shutil.copytree(tiny_encoder_folder, tmp_path / "theirs"))
    settings = {"model_type": "CrossEncoder", "prompts": {"web": "find: "}, "default_prompt_name": None}
    write(
        folder / "config_sentence_transformers.json", settings | {"activation_fn": "torch.nn.modules.linear.Identity"}
    )
    modules(folder, "Pooling", "Dense", "LayerNorm", "Dropout", "Dense")
    write(folder / "sentence_bert_config.json", {"transformer_task": "feature-extraction", "max_seq_length": 40})
    write(folder / "1_Pooling/config.json", {"embedding_dimension": 32, "pooling_mode": "mean"})
    gelu = "torch.nn.modules.activation.GELU"
    write(
        folder / "2_Dense/config.json",
        {"in_features": 32, "out_features": 8, "bias": False} | {"activation_function": gelu},
    )
    tensors(folder, "2_Dense", linear_weight=FIRST)
    write(folder / "3_LayerNorm/config.json", {"dimension": 8})
    tensors(folder, "3_LayerNorm", norm_weight=1 + SHIFT, norm_bias=SHIFT)
    write(folder / "4_Dropout/config.json", {"dropout": 0.25})
    names = {"module_input_name": "sentence_embedding", "module_output_name": "scores"}
    identity = {"activation_function": "torch.nn.modules.linear.Identity"}
    write(folder / "5_Dense/config.json", {"in_features": 8, "out_features": 1} | identity | names)
    tensors(folder, "5_Dense", linear_weight=LAST, linear_bias=torch.tensor([0.5]))
    return folder


@torch.no_grad()
def by_formula(folder: Path) -> Tensor:
    """``w . norm(gelu(W mean)) + b``, each pair alone."""
    from transformers import AutoTokenizer, BertModel

    tokenizer, encoder = AutoTokenizer.from_pretrained(folder), BertModel.from_pretrained(folder).eval()
    means = [
        encoder(**tokenizer(query, text, return_tensors="pt")).last_hidden_state[0].mean(0)
        for query, text in zip(QUERIES, DOCUMENTS, strict=True)
    ]
    inner = nn.functional.gelu(torch.stack(means) @ FIRST.T)
    return nn.functional.layer_norm(inner, (8,), 1 + SHIFT, SHIFT) @ LAST[0] + 0.5


def test_the_score_is_that_of_the_modules_one_after_another(folder: Path, tmp_path: Path) -> None:
    expected = by_formula(folder)
    assert expected.std() > 1e-2
    model = CrossEncoder.from_pretrained(folder)
    assert (model.head_name, model.tokenizer.max_length) == ("cls", 40)
    model.save_pretrained(tmp_path / "ours", layout="sentence-transformers")
    again = CrossEncoder.from_pretrained(tmp_path / "ours")
    assert again.tokenizer.settings() == model.tokenizer.settings()
    with torch.no_grad():
        for each in (model, again):
            for padding in ("packed", "grouped"):
                each.padding = padding  # type: ignore[assignment]
                torch.testing.assert_close(each.score(QUERIES, DOCUMENTS), expected, atol=1e-5, rtol=0)
    written = json.loads((tmp_path / "ours/modules.json").read_text())
    assert [each["path"] for each in written] == [
        each["path"] for each in json.loads((folder / "modules.json").read_text())
    ]
    assert [each["type"].rpartition(".")[2] for each in written][1:] == [
        "Pooling",
        "Dense",
        "LayerNorm",
        "Dropout",
        "Dense",
    ]
    settings = json.loads((tmp_path / "ours/config_sentence_transformers.json").read_text())
    assert settings == json.loads((folder / "config_sentence_transformers.json").read_text())
    assert json.loads((tmp_path / "ours/4_Dropout/config.json").read_text()) == {"dropout": 0.25}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_head_of_parts_learns_and_comes_back(tiny_encoder_folder: Path, tmp_path: Path, pooling: str) -> None:
    from transformers import BertModel

    start = CrossEncoder.from_pretrained(tiny_encoder_folder, max_length=48, query_length=10)
    layers = [ProjectionLayer(32, 32, activation=nn.Tanh(), residual=True), ProjectionLayer(32, 1, bias=True)]
    classifier = PooledClassifier(BertModel.from_pretrained(tiny_encoder_folder), layers, pooling=pooling)  # type: ignore[arg-type]
    model = CrossEncoder(classifier, start.text_tokenizer, head="cls", max_length=48, query_length=10, exits=(1,))
    batch = ListCollate(model.tokenizer)([CandidateList(QUERIES[0], tuple(DOCUMENTS), (1.0, 0.0))])
    scores = model(batch.features)
    assert scores.shape == (2, 1, 2)
    scores.diff().sum().backward()
    learnt = {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}
    assert {"encoder.backbone.layers.0.linear.weight", "encoder.backbone.layers.1.linear.weight"} <= learnt
    assert any(name.startswith("encoder.backbone.encoder.encoder.layer.0") for name in learnt)
    model.eval().save_pretrained(tmp_path / "model")
    again = CrossEncoder.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        for exit_layer in (None, 1):
            scores = model.score(QUERIES, DOCUMENTS, exit_layer=exit_layer)
            torch.testing.assert_close(again.score(QUERIES, DOCUMENTS, exit_layer=exit_layer), scores)
        packed = model.score(QUERIES, DOCUMENTS)
        model.padding = "grouped"
        torch.testing.assert_close(model.score(QUERIES, DOCUMENTS), packed, atol=1e-5, rtol=0)
    with pytest.raises(InputError, match=r"exits=\[1\] has no place in the sentence-transformers layout"):
        model.save_pretrained(tmp_path / "other", layout="sentence-transformers")


@pytest.mark.parametrize("head", ["mean", "interaction"])
def test_heads_that_tell_the_texts_apart_have_no_modules(tiny_encoder_folder: Path, tmp_path: Path, head: str) -> None:
    model = CrossEncoder.from_pretrained(tiny_encoder_folder, head=head)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"head='{head}', which reads query and document apart, has no place"):
        model.save_pretrained(tmp_path / "model", layout="sentence-transformers")
    with pytest.raises(InputError, match="layout='onnx' is unknown"):
        model.save_pretrained(tmp_path / "model", layout="onnx")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_layers_that_make_no_score_or_have_no_module(folder: Path, tmp_path: Path) -> None:
    from transformers import BertModel

    encoder = BertModel.from_pretrained(folder)
    for layers, message in (
        ([nn.Linear(32, 2)], r"one score of 32 features, and give \(1, 2\)"),
        ([nn.Linear(16, 1)], "one score of 32 features, and give mat1"),
        ([], "no layer with weights"),
    ):
        with pytest.raises(InputError, match=message):
            PooledClassifier(encoder, layers)
    with pytest.raises(InputError, match="pooling='sum' is unknown"):
        PooledClassifier(encoder, [nn.Linear(32, 1)], pooling="sum")  # type: ignore[arg-type]
    tokenizer = CrossEncoder.from_pretrained(folder).text_tokenizer
    for layers, message in (
        ([nn.Linear(32, 1)], r"the layer Linear\(.* cannot be written"),
        ([nn.LayerNorm(32, eps=0.1), ProjectionLayer(32, 1)], r"the layer LayerNorm\(.* cannot be written"),
        ([ProjectionLayer(32, 1), nn.Dropout()], "Dropout cannot be written as the last layer"),
        ([ProjectionLayer(32, 1, gated=True)], "a gated projection"),
    ):
        with pytest.raises(InputError, match=message):
            CrossEncoder(PooledClassifier(encoder, layers), tokenizer, head="cls").save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def settings(**values: object) -> Callable[[Path], None]:
    return lambda folder: change(folder / "config_sentence_transformers.json", **values)


def transformer(**values: object) -> Callable[[Path], None]:
    return lambda folder: change(folder / "sentence_bert_config.json", **values)


def config(name: str, **values: object) -> Callable[[Path], None]:
    return lambda folder: change(folder / name / "config.json", **values)


def narrow(folder: Path, name: str) -> None:
    """A whole module, for fewer features than come."""
    if name == "2_Dense":
        change(folder / name / "config.json", in_features=16)
        tensors(folder, name, linear_weight=FIRST[:, :16].contiguous())
    else:
        change(folder / name / "config.json", dimension=7)
        tensors(folder, name, norm_weight=SHIFT[:7].clone(), norm_bias=SHIFT[:7].clone())


def without(folder: Path, name: str, tensor: str) -> None:
    kept = load_file(folder / name / "model.safetensors")
    del kept[tensor]
    save_file(kept, folder / name / "model.safetensors")


def outside(folder: Path) -> None:
    listed = json.loads((folder / "modules.json").read_text())
    listed[1]["path"] = "../elsewhere"
    write(folder / "modules.json", listed)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: modules(folder, "Pooling", "mine.Head"), "has the module 'mine.Head', which is not read"),
        (lambda folder: modules(folder, LIBRARY + "base.modules.normalize.Normalize"), "Normalize', which is not read"),
        (lambda folder: modules(folder, "Dense"), "has the modules Transformer, Dense for feature-extraction"),
        (lambda folder: modules(folder, "Pooling"), "has the modules Transformer, Pooling for feature-extraction"),
        (lambda folder: write(folder / "modules.json", {"0": "Transformer"}), "is no list of modules"),
        (outside, "the module Pooling at '../elsewhere', outside the folder"),
        (lambda folder: shutil.rmtree(folder / "1_Pooling"), "1_Pooling.config.json is missing"),
        (config("1_Pooling", pooling_mode=["cls", "mean"]), "pools by cls, mean"),
        (config("1_Pooling", include_prompt=False), "include_prompt"),
        (config("1_Pooling", embedding_dimension=9), "1_Pooling takes 9 .*gets 32"),
        (lambda folder: narrow(folder, "2_Dense"), "2_Dense takes 16 features, and gets 32"),
        (lambda folder: modules(folder, "Pooling", "Dense", "Dense"), "3_Dense.config.json is missing"),
        (lambda folder: narrow(folder, "3_LayerNorm"), "3_LayerNorm takes 7 features, and gets 8"),
        (lambda folder: write(folder / "3_LayerNorm/config.json", {"size": 8}), "no 'dimension'"),
        (lambda folder: (folder / "2_Dense/model.safetensors").unlink(), "2_Dense.pytorch_model.bin cannot be read"),
        (lambda folder: without(folder, "5_Dense", "linear.bias"), '5_Dense.* belongs to another .*"linear.bias"'),
        (lambda folder: without(folder, "3_LayerNorm", "norm.bias"), '3_LayerNorm.*belongs to another.*"norm.bias"'),
        (config("2_Dense", activation_function="os.abort"), "only those of torch.nn"),
        (config("2_Dense", activation_function="torch.nn.Linear"), "needs options"),
        (config("2_Dense", module_input_name="cls"), "2_Dense makes cls of cls"),
        (config("2_Dense", module_output_name="scores"), "3_LayerNorm behind the one"),
        (config("5_Dense", module_output_name=None), "nothing in it gives a score"),
        (transformer(transformer_task="fill-mask"), "for fill-mask: read are a classifier alone"),
        (transformer(modality_config={"message": {"method": "forward"}}), "chat template: load it with CausalReranker"),
        (
            transformer(modality_config={"text": {"method": "forward", "method_output_name": "pooler_output"}}),
            "that gives pooler_output, which is not read",
        ),
        (transformer(processing_kwargs={"text": {"add_special_tokens": False}}), "with add_special_tokens=False"),
    ],
)  # fmt: skip
def test_a_folder_that_is_not_whole(folder: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(folder)
    with pytest.raises(InputError, match=message):
        CrossEncoder.from_pretrained(folder)


def test_the_encoder_inside_keeps_few_activations(folder: Path) -> None:
    def kept(*, frugal: bool) -> int:
        model = CrossEncoder.from_pretrained(folder, padding="grouped").train()
        if frugal:
            keep_few_activations(model)
        found: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda each: found.append(each.numel()) or each, lambda each: each
        ):
            model.score(QUERIES, DOCUMENTS)
        return sum(found)

    assert kept(frugal=True) < kept(frugal=False) / 2


def test_a_reranker_of_modules_is_no_decoder(folder: Path) -> None:
    with pytest.raises(InputError, match="load it with CrossEncoder"):
        CausalReranker.from_pretrained(folder)


def test_lower_case_is_the_folders_wish(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    write(folder / "tokenizer.json", tokenizer)

    def ids(text: str) -> list[list[int]]:
        return CrossEncoder.from_pretrained(folder).tokenizer([text], ["x"]).input_ids.tolist()

    assert ids("OPEN") != ids("open")
    change(folder / "sentence_bert_config.json", do_lower_case=True)
    assert ids("OPEN") == ids("open")
