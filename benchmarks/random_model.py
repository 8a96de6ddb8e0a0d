"""An encoder of MiniLM's shape for machines that have no weights: times do not depend on what the weights are."""

from __future__ import annotations

from pathlib import Path

from benchmarks.texts import documentation
from rankgrad.models import _folder

_VOCABULARY = 12_000
_SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def source(name: str, folder: Path, *, quick: bool) -> str:
    """The model that ``name`` means: ``random`` is made in ``folder``, anything else is left as it is."""
    if name != "random":
        return name
    write_random_minilm(folder / "random", quick=quick)
    return str(folder / "random")


def write_random_minilm(folder: Path, *, quick: bool = False) -> None:
    """Write 6 layers of 384, random weights, and a word-piece tokenizer trained on this Python's documentation."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = list(_SPECIAL.values())
    tokenizer = Tokenizer(models.WordPiece(unk_token=_SPECIAL["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=_VOCABULARY, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(documentation(quick=quick).documents.texts, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    named = {f"{role}_token": token for role, token in _SPECIAL.items()}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=512, model_input_names=inputs, **named
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=384,
        num_hidden_layers=2 if quick else 6,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    torch.manual_seed(0)
    _folder.save_backbone(BertModel(config), folder)
