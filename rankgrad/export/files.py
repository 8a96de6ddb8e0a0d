"""The files of a bundle that other runtimes read: configuration and tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rankgrad.export.onnx import Ranker
from rankgrad.models import CrossEncoder
from rankgrad.models._folder import save_tokenizer, write_json

_CLASSIFIER = "ForSequenceClassification"


def write_config(model: Ranker, folder: Path) -> None:
    """Write ``config.json``; a cross-encoder's says classifier with one label, by which servers know a reranker."""
    backbone: Any = model.backbone
    config = json.loads(backbone.config.to_json_string(use_diff=False))
    config.pop("_name_or_path", None)
    config |= {"architectures": [type(backbone).__name__], "dtype": "float32", "pad_token_id": model.tokenizer.pad_id}
    if isinstance(model, CrossEncoder):
        name = type(backbone).__name__.removesuffix(_CLASSIFIER).removesuffix("Model") + _CLASSIFIER
        config |= {"architectures": [name], "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    write_json(folder / "config.json", config)


def write_tokenizer(model: Ranker, folder: Path) -> None:
    """Write ``tokenizer.json``, its two companions, and ``vocab.txt`` where the vocabulary is one of word pieces."""
    save_tokenizer(model.text_tokenizer, folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    # Unset it is 1e30, which readers of a machine integer refuse.
    config["model_max_length"] = longest(model)
    config["pad_token"] = model.tokenizer.tokenizer.id_to_token(model.tokenizer.pad_id)
    config.pop("name_or_path", None)
    write_json(path, config)
    vocabulary = json.loads(model.tokenizer.tokenizer.to_str())["model"]
    if vocabulary["type"] == "WordPiece":
        pieces = model.tokenizer.tokenizer.get_vocab(with_added_tokens=True)
        lines = [piece + "\n" for piece in sorted(pieces, key=pieces.__getitem__)]
        (folder / "vocab.txt").write_text("".join(lines), encoding="utf-8")


def tokenizer_settings(model: Ranker) -> dict[str, Any]:
    """What ``rankgrad.deploy`` needs to tokenize as the model does."""
    if isinstance(model, CrossEncoder):
        return model.tokenizer.settings()
    tokenizer = model.tokenizer
    return {"rules": tokenizer.rules.to_dict(), "mask_id": tokenizer.mask_id, "pad_id": tokenizer.pad_id}


def longest(model: Ranker) -> int:
    """Tokens of the longest input the model takes."""
    if isinstance(model, CrossEncoder):
        return model.tokenizer.max_length
    return max(model.rules.query_length, model.rules.document_length)
