"""Decoders written by hand as Transformer and LogitScore: their chat template is read as a prompt, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.models import CausalReranker, CrossEncoder
from rankgrad.prompts import PromptTemplate

QUERIES, DOCUMENTS = ["open a file", "sort the values"], ["read its lines", "a date from text, and time " * 8]
LIBRARY = "sentence_transformers."
SETS = "{%- set q = messages[-2].content -%}{%- set d = messages[-1].content -%}"
SYSTEM = "{{ messages[0].content if messages[0].role == 'system' else 'raise' }}"
CHAT = SETS + "[CLS]" + SYSTEM + " sort: {{ q }} / {{ d }} a key ?"


def write(path: Path, values: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values))


def change(name: str, **values: object) -> Callable[[Path], None]:
    return lambda folder: write(folder / name, json.loads((folder / name).read_text()) | values)


def chat(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "chat_template.jinja").write_text(text)


@pytest.fixture
def folder(tiny_decoder_folder: Path, tmp_path: Path) -> Path:
    """The tiny decoder, which answers yes (147) or no (148) to a chat."""
    folder = Path(shutil.copytree(tiny_decoder_folder, tmp_path / "theirs"))
    types = {"": "base.modules.transformer.Transformer", "1_LogitScore": "cross_encoder.modules.logit_score.LogitScore"}
    write(folder / "modules.json", [{"path": path, "type": LIBRARY + kind} for path, kind in types.items()])
    prompts = {"prompts": {"web": "parse"}, "default_prompt_name": "web"}
    write(folder / "config_sentence_transformers.json", {"model_type": "CrossEncoder"} | prompts)
    logits = {"method": "forward", "method_output_name": "logits"}
    modality = {"text": logits, "message": logits | {"format": "flat"}}
    task = {"transformer_task": "text-generation", "module_output_name": "causal_logits"}
    write(folder / "sentence_bert_config.json", task | {"modality_config": modality})
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    ids = {each["content"]: each["id"] for each in vocabulary}
    write(folder / "1_LogitScore/config.json", {"true_token_id": ids["yes"], "false_token_id": ids["no"]})
    change("tokenizer_config.json", model_max_length=30)(folder)
    chat(CHAT)(folder)
    return folder


def test_the_chat_is_the_prompt(folder: Path, tiny_decoder_folder: Path, tmp_path: Path) -> None:
    model = CausalReranker.from_pretrained(folder)
    template = PromptTemplate("", "{instruction} sort: {query} / {document}", " a key ?", "parse", "yes", "no")
    assert model.tokenizer.template == template
    # Of 30 tokens 8 are the prompt's: half of the others may be the query's.
    assert (model.tokenizer.max_length, model.tokenizer.query_length) == (30, 11)
    same = CausalReranker.from_pretrained(tiny_decoder_folder, template=template, max_length=30, query_length=11)
    scores = model.score(QUERIES, DOCUMENTS)
    assert scores.std() > 1e-4
    torch.testing.assert_close(scores, same.score(QUERIES, DOCUMENTS))
    model.save_pretrained(tmp_path / "ours")
    for name in (
        "modules.json",
        "config_sentence_transformers.json",
        "1_LogitScore/config.json",
        "chat_template.jinja",
    ):
        assert (tmp_path / "ours" / name).is_file()
    assert (tmp_path / "ours/chat_template.jinja").read_text() == CHAT
    torch.testing.assert_close(CausalReranker.from_pretrained(tmp_path / "ours").score(QUERIES, DOCUMENTS), scores)
    model.save_pretrained(tmp_path / "plain", layout="rankgrad")
    assert not (tmp_path / "plain" / "modules.json").exists()
    same.save_pretrained(tmp_path / "same")
    assert not (tmp_path / "same" / "modules.json").exists()
    with pytest.raises(InputError, match="layout='onnx' is unknown"):
        same.save_pretrained(tmp_path / "same", layout="onnx")  # type: ignore[arg-type]


def test_a_cross_encoder_points_to_the_other_class(folder: Path) -> None:
    with pytest.raises(InputError, match="load it with CausalReranker"):
        CrossEncoder.from_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (chat(CHAT.replace("{{ d }}", "")), "shows the document 0 times"),
        (chat(CHAT + "{{ q }}"), "shows the query 2 times"),
        (chat(SETS + "[CLS]{{ d }} or {{ q }}"), "puts the query behind the document"),
        (chat(CHAT.removeprefix(SETS).replace("[CLS]", SETS)), "in a way that no prompt says"),
        (chat(CHAT + "{% if %}"), "cannot be rendered"),
        (chat(CHAT + "{{ ''.__class__.__mro__ }}"), "cannot be rendered"),
        (chat(CHAT + "{{ '{query}' }}"), "holds {query} as a text of its own"),
        (lambda folder: (folder / "1_LogitScore/config.json").unlink(), "config.json has no 'true_token_id'"),
        (change("1_LogitScore/config.json", true_token_id=9999), "true_token_id=9999 is no token"),
        (change("1_LogitScore/config.json", false_token_id="no"), "false_token_id='no' is no token"),
        (change("1_LogitScore/config.json", true_token_id=90), "is the token '##.', which no text alone gives"),
        (change("1_LogitScore/config.json", module_input_name="scores"), "1_LogitScore reads scores, and the"),
        (change("sentence_bert_config.json", transformer_task="any-to-any"), "Transformer, LogitScore for any-to-any"),
        (change("sentence_bert_config.json", modality_config=["text"]), "is not what sentence-transformers writes"),
        (
            change("sentence_bert_config.json", processing_kwargs={"chat_template": {"restore_suffix": False}}),
            "restore_suffix",
        ),
        (change("sentence_bert_config.json", processing_kwargs={"chat_template": {"tokenize": True}}), "be rendered"),
        (change("tokenizer_config.json", model_max_length=9), "leaves no room for a document"),
    ],
)  # fmt: skip
def test_what_is_not_read(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    with pytest.raises(InputError, match=message):
        CausalReranker.from_pretrained(folder)


def test_a_template_of_the_callers_own_is_taken(folder: Path) -> None:
    chat(SETS + "{{ d }}{{ q }}")(folder)
    template = PromptTemplate(before="", body="{query} / {document}", after=" a", instruction="")
    assert CausalReranker.from_pretrained(folder, template=template, query_length=4).tokenizer.template == template
