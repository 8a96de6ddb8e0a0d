"""Rows of modules that sentence-transformers saved load here with its scores, and those written here load there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankgrad.models import CausalReranker, CrossEncoder, _folder
from rankgrad.modules import PooledClassifier, ProjectionLayer
from rankgrad.prompts import PromptTemplate

QUERIES = ["return the number of items", "open a file", "open a file", "sort"]
DOCUMENTS = ["a list, and its items.", "open a file and read its lines", "x", "parse a date from text " * 20]
ROLES = "{%%- set %s = messages | selectattr('role', 'equalto', '%s') | map(attribute='content') | first -%%}"
CHAT = "".join(ROLES % (name, name) for name in ("system", "query", "document"))
CHAT += "[CLS]{{ system if system else 'raise an error' }} sort: {{ query }} / {{ document }} a key ?"


@pytest.fixture(scope="module")
def library() -> ModuleType:
    """sentence-transformers 6, whose cross-encoders are rows of modules."""
    library = pytest.importorskip("sentence_transformers", reason="needs the bench extra")
    if int(library.__version__.split(".")[0]) < 6:
        pytest.skip(f"needs sentence-transformers 6, got {library.__version__}")
    return library


@contextmanager
def quiet() -> Iterator[None]:
    """Their warnings are not ours."""
    with _folder.quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def predicted(library: ModuleType, model: Any) -> Tensor:
    """The logits of a peer, or of a folder that it loads."""
    with quiet():
        peer = library.CrossEncoder(str(model), device="cpu") if isinstance(model, Path) else model
        pairs = list(zip(QUERIES, DOCUMENTS, strict=True))
        return peer.predict(pairs, activation_fn=nn.Identity(), convert_to_tensor=True).float()


@torch.no_grad()
def scored(model: CrossEncoder | CausalReranker) -> Tensor:
    return model.score(QUERIES, DOCUMENTS)


def same(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.std() > 1e-4
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "weightedmean", "lasttoken"])
def test_pooling_and_layers(library: ModuleType, tiny_encoder_folder: Path, tmp_path: Path, pooling: Any) -> None:
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Dropout, LayerNorm, Pooling

    with quiet():
        norm = LayerNorm(16)
        nn.init.normal_(norm.norm.weight)
        layers = [
            Dense(32, 32, bias=False, activation_function=nn.GELU()),
            Dense(32, 16, use_residual=True),
            norm,
            Dropout(0.3),
            Dense(16, 1, activation_function=nn.Identity(), module_output_name="scores"),
        ]
        parts = [Transformer(str(tiny_encoder_folder)), Pooling(32, pooling), *layers]
        peer = library.CrossEncoder(modules=parts, device="cpu", prompts={"web": "open "}, activation_fn=nn.Tanh())
        peer.max_seq_length = 48
        expected = predicted(library, peer)
        peer.save_pretrained(str(tmp_path / "theirs"))
    ours = CrossEncoder.from_pretrained(tmp_path / "theirs")
    assert ours.tokenizer.max_length == 48
    same(scored(ours), expected)
    ours.save_pretrained(tmp_path / "ours")
    same(predicted(library, tmp_path / "ours"), expected)
    with quiet():
        again = library.CrossEncoder(str(tmp_path / "ours"), device="cpu")
    assert (again.max_seq_length, again.prompts, again.default_prompt_name) == (48, {"web": "open "}, None)
    assert isinstance(again.activation_fn, nn.Tanh)
    assert [type(part).__name__ for part in again] == [type(part).__name__ for part in peer]
    assert again[5].dropout == 0.3


@pytest.mark.parametrize("pooled", [False, True])
def test_a_default_prompt_before_the_queries(
    library: ModuleType, tiny_encoder_folder: Path, tmp_path: Path, pooled: bool
) -> None:
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    with quiet():
        torch.manual_seed(0)
        if pooled:
            last = Dense(32, 1, activation_function=nn.Identity(), module_output_name="scores")
            parts = [Transformer(str(tiny_encoder_folder)), Pooling(32, "mean"), last]
        else:
            start = CrossEncoder.from_pretrained(tiny_encoder_folder, head="cls")
            start.backbone.classifier.weight.data *= 100  # type: ignore[union-attr, operator]
            start.save_pretrained(tmp_path / "start")
            parts = [Transformer(str(tmp_path / "start"), transformer_task="sequence-classification")]
        options = {"prompts": {"web": "open: "}, "default_prompt_name": "web"}
        peer = library.CrossEncoder(modules=parts, device="cpu", **options)
        expected = predicted(library, peer)
        peer.save_pretrained(str(tmp_path / "theirs"))
        peer.default_prompt_name = None
        assert (predicted(library, peer) - expected).abs().max() > 1e-4
    ours = CrossEncoder.from_pretrained(tmp_path / "theirs")
    same(scored(ours), expected)
    ours.save_pretrained(tmp_path / "ours", layout="sentence-transformers")
    same(predicted(library, tmp_path / "ours"), expected)
    renamed = CrossEncoder.from_pretrained(tmp_path / "theirs", query_prompt="sort ")
    renamed.save_pretrained(tmp_path / "renamed", layout="sentence-transformers")
    same(predicted(library, tmp_path / "renamed"), scored(renamed))


def test_a_head_made_here(library: ModuleType, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    from transformers import BertModel

    start = CrossEncoder.from_pretrained(tiny_encoder_folder)
    layers = [ProjectionLayer(32, 32, activation=nn.SiLU()), nn.LayerNorm(32), ProjectionLayer(32, 1, bias=True)]
    classifier = PooledClassifier(BertModel.from_pretrained(tiny_encoder_folder), layers, pooling="mean")
    ours = CrossEncoder(classifier, start.text_tokenizer, head="cls", max_length=40, query_length=20).eval()
    ours.save_pretrained(tmp_path / "ours", layout="sentence-transformers")
    same(scored(ours), predicted(library, tmp_path / "ours"))


@pytest.fixture
def decoder(tiny_decoder_folder: Path, tmp_path: Path) -> Path:
    """The tiny decoder with a padding token, which their batches need."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "decoder"
    tokenizer = AutoTokenizer.from_pretrained(tiny_decoder_folder)
    tokenizer.pad_token = "[PAD]"
    tokenizer.save_pretrained(folder)
    with _folder.quiet():
        AutoModelForCausalLM.from_pretrained(tiny_decoder_folder).save_pretrained(folder)
    return folder


def answering(library: ModuleType, folder: Path, *, chat: str | None, one: bool = False, **options: Any) -> Any:
    """Their cross-encoder of a decoder."""
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore

    with quiet():
        told = {} if chat is None else {"chat_template": chat}
        transformer = Transformer(str(folder), transformer_task="text-generation", processor_kwargs=told)
        tokenizer: Any = transformer.tokenizer
        yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
        parts = [transformer, LogitScore(yes, None if one else no)]
        peer = library.CrossEncoder(modules=parts, device="cpu", **options)
        peer.max_seq_length = 40
        return peer


@pytest.mark.parametrize(
    ("chat", "prompted", "one"), [(CHAT, True, False), (CHAT, False, True), (None, False, False), (None, True, False)]
)
def test_a_decoders_answer(
    library: ModuleType, decoder: Path, tmp_path: Path, chat: str | None, prompted: bool, one: bool
) -> None:
    prompts = {"web": "join several strings "}
    options = {"prompts": prompts, "default_prompt_name": "web" if prompted else None}
    peer = answering(library, decoder, chat=chat, one=one, **options)
    expected = predicted(library, peer)
    with quiet():
        peer.save_pretrained(str(tmp_path / "theirs"))
    ours = CausalReranker.from_pretrained(tmp_path / "theirs")
    template = ours.tokenizer.template
    assert (template.yes, template.no, ours.tokenizer.max_length) == ("yes", None if one else "no", 40)
    assert template.instruction == (prompts["web"] if prompted and chat else "")
    same(scored(ours), expected)
    ours.save_pretrained(tmp_path / "ours")
    same(predicted(library, tmp_path / "ours"), expected)
    with quiet():
        again = library.CrossEncoder(str(tmp_path / "ours"), device="cpu")
    assert (again.max_seq_length, again.prompts) == (40, prompts)
    assert again.default_prompt_name == options["default_prompt_name"]
    same(scored(CausalReranker.from_pretrained(tmp_path / "ours")), expected)


@pytest.mark.parametrize("head", ["answer", "linear"])
def test_a_prompt_made_here(library: ModuleType, tiny_decoder_folder: Path, tmp_path: Path, head: str) -> None:
    parts = {
        "before": "open 'file' \\ \n é 🙂 ",
        "body": "{instruction} {query} / {document}",
        "after": " {instruction} a",
    }
    template = PromptTemplate(**parts, instruction="sort {{ }} {% x %}")
    ours = CausalReranker.from_pretrained(tiny_decoder_folder, head=head, template=template, max_length=99)  # type: ignore[arg-type]
    ours.save_pretrained(tmp_path / "ours", layout="sentence-transformers")
    same(scored(ours), predicted(library, tmp_path / "ours"))
    again = CausalReranker.from_pretrained(tmp_path / "ours")
    assert (again.tokenizer.template, again.head_name) == (template, head)
    (tmp_path / "ours" / "rankgrad_model.json").unlink()
    stranger = CausalReranker.from_pretrained(tmp_path / "ours", max_length=99)
    same(scored(stranger), scored(ours))


def test_a_classifier_on_a_decoder_and_a_changed_prompt(library: ModuleType, decoder: Path, tmp_path: Path) -> None:
    """A Transformer alone that scores chats; another template of ours is written as one of theirs."""
    from sentence_transformers.base.modules import Transformer
    from transformers import AutoConfig, Qwen3ForSequenceClassification

    with quiet():
        config = AutoConfig.from_pretrained(decoder, num_labels=1, pad_token_id=0)
        Qwen3ForSequenceClassification(config).save_pretrained(decoder)
        # They take a template for one of parts where it holds such words.
        chat = "{#- content[0] -#}" + CHAT.replace("{{ query }}", "{{ query[0].text }}").replace(
            "{{ document }}", "{{ document[0]['text'] }}"
        )
        told: dict[str, Any] = {
            "processor_kwargs": {"chat_template": chat.replace("{{ system if", "{{ system[0].text if")}
        }
        told["processing_kwargs"] = {"text": {"max_length": 44}, "chat_template": {"add_generation_prompt": True}}
        part = Transformer(str(decoder), transformer_task="sequence-classification", **told)
        peer = library.CrossEncoder(modules=[part], prompts={"web": "open"}, default_prompt_name="web", device="cpu")
        expected = predicted(library, peer)
        peer.save_pretrained(str(tmp_path / "theirs"))
    ours = CausalReranker.from_pretrained(tmp_path / "theirs")
    assert (ours.head_name, ours.tokenizer.max_length, ours.tokenizer.template.instruction) == ("linear", 44, "open")
    same(scored(ours), expected)
    ours.save_pretrained(tmp_path / "ours")
    same(predicted(library, tmp_path / "ours"), expected)
    template = PromptTemplate(before="", body="{instruction}: {query} / {document}", after=" key", instruction="parse")
    other = CausalReranker.from_pretrained(tmp_path / "theirs", template=template, max_length=100)
    assert (scored(other) - expected).abs().max() > 1e-4
    other.save_pretrained(tmp_path / "other")
    same(predicted(library, tmp_path / "other"), scored(other))
