"""Cross-encoders on disk: sequence classifiers of Hugging Face and sentence-transformers, read and written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from rankgrad._checks import InputError
from rankgrad.models import _folder

_CONFIG = "config_sentence_transformers.json"
_TRANSFORMER = "sentence_bert_config.json"
_IDENTITY = "torch.nn.modules.linear.Identity"
_MODULE = {
    "idx": 0,
    "name": "0",
    "path": "",
    "type": "sentence_transformers.base.modules.transformer.Transformer",
}


def read(source: str) -> dict[str, Any]:
    """What a folder says of a cross-encoder: our own settings, or the lengths of another library's classifier.

    Returns:
        Nothing for a bare encoder.

    Raises:
        InputError: for another kind of model, a classifier of several labels, or modules beyond the transformer.
    """
    settings = _folder.read_json(_folder.fetch(source, _folder.SETTINGS))
    if settings and settings.get("kind") != "cross_encoder":
        raise InputError(f"{source} holds a {settings.get('kind')}, no cross-encoder: load it with its own class")
    if settings or not _folder.is_classifier(source):
        return settings
    config = _folder.read_json(_folder.fetch(source, _folder.CONFIG))
    labels = config.get("num_labels") or len(config.get("id2label") or {0: "", 1: ""})
    if labels != 1:
        raise InputError(f"{source} classifies into {labels} labels: a cross-encoder is a classifier of one")
    modules = [str(each.get("type", "")) for each in _folder.read_json(_folder.fetch(source, "modules.json")) or []]
    beyond = [name.rpartition(".")[2] for name in modules if not name.endswith("Transformer")]
    if beyond:
        raise InputError(f"{source} has the module {beyond[0]} after its classifier: only the classifier is read")
    tokenizer = _folder.read_json(_folder.fetch(source, "tokenizer_config.json"))
    transformer = _folder.read_json(_folder.fetch(source, _TRANSFORMER))
    limits = (transformer.get("max_seq_length"), tokenizer.get("model_max_length"))
    known = [int(limit) for limit in (*limits, config.get("max_position_embeddings")) if limit]
    longest = min(known, default=512)
    return {"max_length": longest, "query_length": min(64, longest // 2)}


def remember_activation(backbone: nn.Module, source: str) -> None:
    """Note in the configuration what sentence-transformers makes of the logits, so that it is written again."""
    activation = _folder.read_json(_folder.fetch(source, _CONFIG)).get("activation_fn")
    if activation:
        backbone.config.sentence_transformers = {"activation_fn": activation}  # type: ignore[union-attr]


def write(folder: Path, backbone: nn.Module, *, max_length: int) -> None:
    """Add what sentence-transformers reads beside the classifier: its length, and the activation of its scores.

    A classifier that came with no activation is written with the identity: scores are logits here.
    """
    noted = getattr(backbone.config, "sentence_transformers", None) or {}
    settings = {
        "model_type": "CrossEncoder",
        "prompts": {},
        "default_prompt_name": None,
        "activation_fn": noted.get("activation_fn", _IDENTITY),
    }
    _folder.write_json(folder / _CONFIG, settings)
    _folder.write_json(folder / "modules.json", [_MODULE])
    transformer = {
        "transformer_task": "sequence-classification",
        "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
        "module_output_name": "scores",
    }
    _folder.write_json(folder / _TRANSFORMER, transformer)
    path = folder / "tokenizer_config.json"
    _folder.write_json(path, _folder.read_json(path) | {"model_max_length": max_length})
