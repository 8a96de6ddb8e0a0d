"""ColBERT on disk: PyLate's layout, written and read; sentence-transformers' and Stanford's, read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.models import _folder
from rankgrad.tokens import PUNCTUATION, LateInteractionRules

_CONFIG = "config_sentence_transformers.json"
_IDENTITY = "torch.nn.modules.linear.Identity"


class SavedColBERT(NamedTuple):
    """What a folder says beyond the encoder itself; ``projection`` is ``[dim, hidden]`` or None."""

    rules: LateInteractionRules
    projection: Tensor | None
    path: Path


def write(folder: Path, rules: LateInteractionRules, projection: Tensor | None, hidden_size: int) -> None:
    """Add ColBERT's own files to a folder that holds the encoder and the tokenizer."""
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    if projection is not None:
        modules.append({"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"})
        dense = folder / "1_Dense"
        dense.mkdir()
        _folder.save_tensors({"linear.weight": projection}, dense / "model.safetensors")
        shape = {"in_features": hidden_size, "out_features": projection.shape[0], "bias": False}
        _folder.write_json(dense / "config.json", shape | {"activation_function": _IDENTITY, "use_residual": False})
    _folder.write_json(folder / "modules.json", modules)
    _folder.write_json(folder / "sentence_bert_config.json", {"max_seq_length": rules.document_length})
    settings = {
        "model_type": "ColBERT",
        "similarity_fn_name": "MaxSim",
        "query_prefix": rules.query_prefix,
        "document_prefix": rules.document_prefix,
        "query_length": rules.query_length,
        "document_length": rules.document_length,
        "do_query_expansion": rules.query_expansion,
        "attend_to_expansion_tokens": rules.attend_to_expansion,
        "skiplist_words": list(rules.skip_words),
    }
    _folder.write_json(folder / _CONFIG, settings)


def read(source: str) -> SavedColBERT | None:
    """Read the rules and the projection of a saved ColBERT; None for a plain encoder.

    Raises:
        InputError: for a head this version cannot represent, or a damaged file.
    """
    if "HF_ColBERT" in (_folder.read_json(_folder.fetch(source, _folder.CONFIG)).get("architectures") or []):
        return _read_stanford(source)
    settings = _folder.read_json(_folder.fetch(source, _CONFIG))
    if settings.get("model_type") != "ColBERT" and "query_prefix" not in settings:
        return None
    rules = LateInteractionRules(
        query_prefix=settings.get("query_prefix") or "",
        document_prefix=settings.get("document_prefix") or "",
        query_length=settings.get("query_length") or 32,
        document_length=settings.get("document_length") or 180,
        query_expansion=settings.get("do_query_expansion", True),
        attend_to_expansion=settings.get("attend_to_expansion_tokens", False),
        skip_words=tuple(settings.get("skiplist_words", PUNCTUATION)),
    )
    modules = _folder.read_json(_folder.fetch(source, "modules.json")) or []
    heads = [module["path"] for module in modules if str(module.get("type", "")).endswith("Dense")]
    if not heads:
        return SavedColBERT(rules, None, Path(source))
    if len(heads) > 1:
        raise InputError(f"{source} has a projection of {len(heads)} layers; this version reads one linear layer")
    config = _folder.read_json(_folder.fetch(source, f"{heads[0]}/config.json"))
    activation = str(config.get("activation_function", "Identity"))
    if config.get("bias") or config.get("use_residual") or not activation.endswith("Identity"):
        raise InputError(
            f"{source} has a projection with bias, residual or activation; this version reads a linear one"
        )
    path = _folder.fetch(source, f"{heads[0]}/model.safetensors")
    return SavedColBERT(rules, _folder.load_tensors(path)["linear.weight"], path)


def _read_stanford(source: str) -> SavedColBERT:
    stored = _folder.read_json(_folder.fetch(source, "artifact.metadata"))
    settings = stored.get("config", stored)
    rules = LateInteractionRules(
        query_prefix=settings.get("query_token_id", "[unused0]"),
        document_prefix=settings.get("doc_token_id", "[unused1]"),
        query_length=settings.get("query_maxlen", 32),
        document_length=settings.get("doc_maxlen", 220),
        query_expansion=True,
        attend_to_expansion=settings.get("attend_to_mask_tokens", False),
        skip_words=PUNCTUATION if settings.get("mask_punctuation", True) else (),
    )
    path = _folder.fetch(source, "model.safetensors")
    return SavedColBERT(rules, _folder.load_tensors(path)["linear.weight"], path)
