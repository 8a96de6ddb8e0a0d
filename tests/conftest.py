"""Fixtures for the whole suite: a tiny encoder on disk, made here, so that no test needs a download."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path
from string import ascii_lowercase, digits, punctuation
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from rankgrad.tokens import LateInteractionRules

if TYPE_CHECKING:
    from rankgrad.models import ColBERT, CrossEncoder

# The tests are the same everywhere: a GPU is hidden from them unless benchmarks/gpu.sh asks for those that need one.
if os.environ.get("RANKGRAD_TEST_GPU") != "1":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
# Without a GPU triton interprets its kernels; it looks when a kernel is defined, so before the package is used.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

SENTENCES = (
    "return the number of items in a list",
    "open a file and read its lines",
    "sort the values of a dictionary by key",
    "raise an error when the index is out of range",
    "join several strings with a separator",
    "parse a date from text and return a time",
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[Q]", "[D]")


def tiny_backend() -> Tokenizer:
    """A word-piece tokenizer of the words of ``SENTENCES``; other words fall apart into letters."""
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    letters = [*ascii_lowercase, *digits]
    pieces = dict.fromkeys([*SPECIAL, *punctuation, *letters, *(f"##{letter}" for letter in letters), *words])
    vocabulary = {piece: position for position, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


@pytest.fixture
def tiny_tokenizer() -> Tokenizer:
    """A fresh ``tokenizers.Tokenizer`` with [CLS], [SEP], [MASK], [PAD], [Q], [D] and a small word-piece vocabulary."""
    return tiny_backend()


@pytest.fixture(scope="session")
def tiny_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder: BERT with 2 layers, hidden size 32, 512 positions, random weights of seed 0."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny") / "encoder"
    backend = tiny_backend()
    names = {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"}
    named = {f"{role}_token": token for role, token in names.items()}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=512, model_input_names=inputs, **named
    )
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=backend.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_mlm_folder(tiny_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder with a masked language model's head, random weights of seed 0."""
    from transformers import AutoConfig, AutoTokenizer, BertForMaskedLM

    folder = tmp_path_factory.mktemp("tiny") / "mlm"
    AutoTokenizer.from_pretrained(tiny_encoder_folder).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertForMaskedLM(AutoConfig.from_pretrained(tiny_encoder_folder)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_decoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder: a Qwen3 of 3 layers and hidden size 32, random weights of seed 0, no padding token."""
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    folder = tmp_path_factory.mktemp("tiny") / "decoder"
    backend = tiny_backend()
    backend.add_tokens(["yes", "no"])
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", cls_token="[CLS]").save_pretrained(folder)
    config = Qwen3Config(
        vocab_size=backend.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=48,
        max_position_embeddings=1024,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_vision_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder: a ViT of 1 layer, hidden size 24, 4 patches of 8 x 8, random weights of seed 0."""
    pytest.importorskip("PIL.Image", reason="needs Pillow")
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    folder = tmp_path_factory.mktemp("tiny") / "vision"
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ViTModel(ViTConfig(image_size=16, patch_size=8, **sizes), add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def write_picture() -> Callable[..., Path]:
    """Writes a picture of one colour."""
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")

    def write(path: Path, color: str, size: tuple[int, int] = (20, 12)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.new("RGB", size, color).save(path)
        return path

    return write


@pytest.fixture(scope="session")
def tiny_ranker(tiny_encoder_folder: Path) -> Callable[[str], CrossEncoder | ColBERT]:
    """Makes a model of the tiny encoder: ``colbert``, or a cross-encoder of the head named; each once a session."""
    from rankgrad.models import ColBERT, CrossEncoder

    @cache
    def make(kind: str) -> CrossEncoder | ColBERT:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            if kind == "colbert":
                rules = LateInteractionRules(query_prefix="[Q]", document_prefix="[D]", query_length=12)
                return ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=16)
            return CrossEncoder.from_pretrained(tiny_encoder_folder, head=kind, max_length=96)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def tiny_bundle(
    tiny_ranker: Callable[[str], CrossEncoder | ColBERT], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Exports what ``tiny_ranker`` makes; each once a session. Copy it before changing a file in it."""
    from rankgrad.export import export_bundle

    folder = tmp_path_factory.mktemp("bundles")

    @cache
    def export(kind: str) -> Path:
        # Random weights tell documents apart by little, so int8 may order them otherwise.
        export_bundle(tiny_ranker(kind), folder / kind, rank_agreement=-1.0)
        return folder / kind

    return export


class SharedFromOneSeed:
    """Make what tests share from seed 0 too, whichever test is the first to ask for it."""

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        """Seed before the fixture is made, and leave the generator as it was."""
        if fixturedef.scope == "function":
            return (yield)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Register as a plugin: of a conftest's own hooks pytest calls none for fixtures of the whole session."""
    config.pluginmanager.register(SharedFromOneSeed())


@pytest.fixture(autouse=True)
def _same_random_numbers() -> Iterator[None]:
    """Start every test from seed 0 and leave the generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
