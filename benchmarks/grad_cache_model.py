"""A late-interaction model with random weights and no dropout, for rankgrad and its peers."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

WHOLE, CACHED = "rankgrad, whole batch", "rankgrad, grad_cache_tokens"
PYLATE, SENTENCE_TRANSFORMERS = "PyLate, cached", "sentence-transformers, cached"
VOCABULARY = 1000
SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
# Ids below are those of special tokens and prefixes.
FIRST_WORD = 10


class Plan(NamedTuple):
    """The encoder's hidden width and layers, width of the embeddings, tokens of a query and a document, rows of a
    micro-batch, budget in MiB, and the sizes that are tried."""

    hidden: int
    layers: int
    dim: int
    query_tokens: int
    document_tokens: int
    rows: int
    budget: int
    sizes: list[int]


def write_model(folder: Path, hidden: int, layers: int, dim: int) -> None:
    """Write the model; its words are w10, w11, ..., so that no skip list holds any."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from rankgrad.models import ColBERT
    from rankgrad.tokens import LateInteractionRules

    special = [*SPECIAL.values(), "[Q]", "[D]", "[unused0]", "[unused1]", "[unused2]"]
    words = {word: place for place, word in enumerate([*special, *(f"w{n}" for n in range(FIRST_WORD, VOCABULARY))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=SPECIAL["unk"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {f"{role}_token": token for role, token in SPECIAL.items()}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **named)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(hidden // 32, 1),
        intermediate_size=4 * hidden,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    rules = LateInteractionRules(query_prefix="[Q]", document_prefix="[D]", query_expansion=False, skip_words=())
    ColBERT(BertModel(config, add_pooling_layer=False), wrapped, rules=rules, dim=dim).save_pretrained(folder)
