"""Weights that are not those of the model in the configuration are refused by name; heads that are not read are not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rankgrad._checks import InputError
from rankgrad.models import CausalReranker, ColBERT, CrossEncoder, DenseEncoder, SparseEncoder
from rankgrad.prompts import PromptTemplate

SHORT = PromptTemplate(before="", body="{query} {document}", after="", instruction="", yes="a", no="file")
KINDS: dict[str, Callable[[Path], torch.nn.Module]] = {
    "dense": DenseEncoder.from_pretrained,
    "sparse": SparseEncoder.from_pretrained,
    "answer": lambda folder: CausalReranker.from_pretrained(folder, template=SHORT),
    "linear": lambda folder: CausalReranker.from_pretrained(folder, template=SHORT, head="linear"),
    "colbert": lambda folder: ColBERT.from_pretrained(folder, dim=8),
    "pair": CrossEncoder.from_pretrained,
    "classifier": lambda folder: CrossEncoder.from_pretrained(folder, head="cls"),
}
EVERY = pytest.mark.parametrize("kind", KINDS)
CONFIG, WEIGHTS = "config.json", "model.safetensors"


@pytest.fixture
def folder(
    kind: str, tiny_encoder_folder: Path, tiny_mlm_folder: Path, tiny_decoder_folder: Path, tmp_path: Path
) -> Path:
    """A copy of the bare encoder or decoder, or of the masked language model."""
    sources = {"sparse": tiny_mlm_folder, "answer": tiny_decoder_folder, "linear": tiny_decoder_folder}
    return Path(shutil.copytree(sources.get(kind, tiny_encoder_folder), tmp_path / "model"))


def change(folder: Path, changed: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    state = load_file(folder / WEIGHTS)
    save_file(state | changed(state), folder / WEIGHTS, metadata={"format": "pt"})


def layer_tensor(state: dict[str, torch.Tensor]) -> str:
    return next(key for key in sorted(state) if ".1." in key and state[key].ndim == 2)


@EVERY
@pytest.mark.parametrize("own", [False, True])
def test_fewer_layers_than_were_saved(kind: str, own: bool, folder: Path, tmp_path: Path) -> None:
    if own:
        KINDS[kind](folder).save_pretrained(tmp_path / "own")  # type: ignore[operator]
        folder = tmp_path / "own"
    config = json.loads((folder / CONFIG).read_text())
    one_layer = config | {"num_hidden_layers": 1}
    if "layer_types" in config:
        one_layer["layer_types"] = config["layer_types"][:1]
    (folder / CONFIG).write_text(json.dumps(one_layer))
    with pytest.raises(InputError, match=r"tensors that .* has no place for \(.*layers?\.1\..*config.json"):
        KINDS[kind](folder)


@EVERY
def test_a_tensor_of_a_further_layer(kind: str, folder: Path) -> None:
    change(folder, lambda state: {layer_tensor(state).replace(".1.", ".5."): torch.zeros(2)})
    with pytest.raises(InputError, match=r"holds 1 tensors that .* has no place for \(.*layers?\.5\."):
        KINDS[kind](folder)


@EVERY
def test_a_shape_is_named_with_the_one_that_is_wanted(kind: str, folder: Path) -> None:
    change(folder, lambda state: {layer_tensor(state): torch.zeros(3, 5)})
    with pytest.raises(InputError, match=r"holds .*layers?\.1\..* of shape \[3, 5\], where .* has \[\d+, \d+\]"):
        KINDS[kind](folder)


@EVERY
def test_what_is_not_the_models_in_a_folder_of_ours(kind: str, folder: Path, tmp_path: Path) -> None:
    KINDS[kind](folder).save_pretrained(tmp_path / "own")  # type: ignore[operator]
    change(tmp_path / "own", lambda _: {"shade.weight": torch.ones(2)})
    with pytest.raises(InputError, match=r"no place for \(shade.weight\)"):
        KINDS[kind](tmp_path / "own")


@EVERY
def test_heads_and_numbers_that_are_not_read(kind: str, folder: Path) -> None:
    positions = torch.arange(512)[None]
    names = [
        "qa_outputs.weight",
        "discriminator_predictions.dense.weight",
        "cls.seq_relationship.weight",
        "logit_scale",
    ]
    names += [] if kind == "classifier" else ["pooler.dense.weight"]
    inside = "bert.embeddings.position_ids" if kind == "sparse" else "embeddings.position_ids"
    if kind in ("answer", "linear"):
        inside = "model.layers.0.self_attn.rotary_emb.inv_freq"
    before = KINDS[kind](folder).state_dict()
    change(folder, lambda _: {inside: positions} | {name: torch.zeros(2) for name in names})
    after = KINDS[kind](folder).state_dict()
    # What a folder does not hold starts at random.
    held = [name for name in before if name.startswith(("encoder.", "backbone.")) and ".pooler." not in name]
    held = [name for name in held if not name.endswith(("classifier.weight", "score.weight"))]
    assert len(held) > 10
    for name in held:
        torch.testing.assert_close(after[name], before[name], atol=0, rtol=0, msg=name)


@pytest.mark.parametrize("kind", ["dense", "colbert", "pair", "classifier"])
def test_encoders_of_models_with_heads(kind: str, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer, BertForPreTraining, BertForTokenClassification

    config = AutoConfig.from_pretrained(tiny_encoder_folder)
    # The head of a classifier of other things is as new as any, and would be in the place of ours.
    for head in (BertForPreTraining, *([] if kind == "classifier" else [BertForTokenClassification])):
        folder = tmp_path / head.__name__
        AutoTokenizer.from_pretrained(tiny_encoder_folder).save_pretrained(folder)
        saved = head(config)
        saved.save_pretrained(folder)
        loaded = KINDS[kind](folder).state_dict()
        name, weight = next(each for each in loaded.items() if each[0].endswith("layer.1.output.dense.weight"))
        assert torch.equal(weight, saved.bert.encoder.layer[1].output.dense.weight), name


def test_a_classifier_without_the_pooler_that_it_reads(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    CrossEncoder.from_pretrained(tiny_encoder_folder, head="cls").save_pretrained(tmp_path / "model")
    state = load_file(tmp_path / "model" / WEIGHTS)
    kept = {key: value for key, value in state.items() if "pooler." not in key}
    assert len(kept) == len(state) - 2
    save_file(kept, tmp_path / "model" / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 2 tensors of a BertForSequenceClassification \(bert\.pooler"):
        CrossEncoder.from_pretrained(tmp_path / "model")
    # One that is trained anew needs none.
    assert CrossEncoder.from_pretrained(tmp_path / "model", head="mean").head_name == "mean"
