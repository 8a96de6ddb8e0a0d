"""The files of a bundle that other runtimes read: configuration and tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rankgrad.export.reference import TextRanker
from rankgrad.models import CausalReranker, CrossEncoder
from rankgrad.models._folder import save_tokenizer, write_json
from rankgrad.tokens import LateInteractionTokenizer

_CLASSIFIER = "ForSequenceClassification"
_GENERIC = "TokenizersBackend"
_HEADS = (_CLASSIFIER, "ForCausalLM", "Model")


def write_config(model: TextRanker, folder: Path) -> None:
    """Write ``config.json``; of a model whose graph gives one score it says classifier with one label, by which servers
    know a reranker."""
    backbone: Any = model.backbone
    config = json.loads(backbone.config.to_json_string(use_diff=False))
    config.pop("_name_or_path", None)
    config |= {"architectures": [type(backbone).__name__], "dtype": "float32", "pad_token_id": model.tokenizer.pad_id}
    if isinstance(model, CrossEncoder | CausalReranker):
        base = type(model.encoder.inner if isinstance(model, CrossEncoder) else backbone).__name__
        for head in _HEADS:
            base = base.removesuffix(head)
        config |= {
            "architectures": [base + _CLASSIFIER],
            "id2label": {"0": "LABEL_0"},
            "label2id": {"LABEL_0": 0},
        }
    write_json(folder / "config.json", config)


def write_tokenizer(model: TextRanker, folder: Path) -> None:
    """Write ``tokenizer.json``, its two companions, and ``vocab.txt`` where the vocabulary is one of word pieces."""
    save_tokenizer(model.text_tokenizer, folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    # Unset it is 1e30, which readers of a machine integer refuse.
    config["model_max_length"] = longest(model)
    config["pad_token"] = model.tokenizer.tokenizer.id_to_token(model.tokenizer.pad_id)
    # Some readers cut at the smaller of the two, and this one is the source's.
    config.pop("max_length", None)
    config.pop("name_or_path", None)
    if config.get("tokenizer_class") == _GENERIC:
        # The same class by the name that transformers 4 knows too.
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    write_json(path, config)
    vocabulary = json.loads(model.tokenizer.tokenizer.to_str())["model"]
    if vocabulary["type"] == "WordPiece":
        pieces = model.tokenizer.tokenizer.get_vocab(with_added_tokens=True)
        lines = [piece + "\n" for piece in sorted(pieces, key=pieces.__getitem__)]
        (folder / "vocab.txt").write_text("".join(lines), encoding="utf-8")


def tokenizer_settings(model: TextRanker) -> dict[str, Any]:
    """What ``rankgrad.deploy`` needs to tokenize as the model does."""
    tokenizer = model.tokenizer
    if isinstance(tokenizer, LateInteractionTokenizer):
        return {"rules": tokenizer.rules.to_dict(), "mask_id": tokenizer.mask_id, "pad_id": tokenizer.pad_id}
    return tokenizer.settings() | {"pad_id": tokenizer.pad_id}


def longest(model: TextRanker) -> int:
    """Tokens of the longest input the model takes."""
    tokenizer = model.tokenizer
    if isinstance(tokenizer, LateInteractionTokenizer):
        return max(tokenizer.rules.query_length, tokenizer.rules.document_length)
    return tokenizer.max_length
