"""Sparse encoders on disk: sentence-transformers' modules, or, with looked-up queries, our own settings beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.models import _folder
from rankgrad.models.dense_encoder_layout import longest
from rankgrad.tokens import LateInteractionRules

KIND = "sparse_encoder"
WEIGHTS = "query_weights.safetensors"
_CONFIG = "config_sentence_transformers.json"
_TRANSFORMER = "sentence_bert_config.json"
_LIBRARY = "sentence_transformers.sparse_encoder.models."
_POOLING = "1_SpladePooling"


def read(source: str) -> dict[str, Any]:
    """The options of the class that a folder tells: nothing, for a bare masked language model.

    Raises:
        InputError: for another kind of model, modules or a pooling that are not read, or texts to be put into lower
            case before the tokenizer.
    """
    settings = _folder.read_json(_folder.fetch(source, _folder.SETTINGS))
    if settings:
        if settings.pop("kind", None) != KIND:
            raise InputError(f"{source} holds no sparse encoder: load it with its own class")
        return settings
    modules = _folder.read_modules(source)
    if not modules:
        return {}
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    if kinds not in (["MLMTransformer", "SpladePooling"], ["Transformer", "SpladePooling"]) or modules[0]["path"]:
        raise InputError(
            f"{source} has the modules {', '.join(kinds)}: read are a masked language model in the folder itself and "
            "SpladePooling"
        )
    pooling = _folder.read_json(_folder.fetch(source, f"{modules[1]['path']}/config.json"))
    if pooling.get("pooling_strategy", "max") != "max":
        raise InputError(f"{source} pools by {pooling['pooling_strategy']}: only the maximum is read")
    transformer = _folder.read_json(_folder.fetch(source, _TRANSFORMER))
    if transformer.get("do_lower_case"):
        raise InputError(
            f"{source} sets do_lower_case in {_TRANSFORMER}, which is not read: put a Lowercase normalizer into its "
            "tokenizer.json instead, unless one is there, and set do_lower_case to false"
        )
    limit = longest(source, transformer)
    # There a side without a prompt has none, whatever the default's name: that is for texts of neither side.
    prompts = _folder.read_json(_folder.fetch(source, _CONFIG)).get("prompts") or {}
    return {
        # There the special tokens take part.
        "special_terms": True,
        "log_twice": pooling.get("activation_function", "relu") == "log1p_relu",
        "document_length": transformer.get("document_length") or limit,
        "query_length": transformer.get("query_length") or limit,
        "query_prompt": prompts.get("query") or "",
        "document_prompt": prompts.get("document") or "",
    }


def read_weights(source: str, width: int) -> Tensor:
    """The weights of looked-up terms, ``[width]``.

    Raises:
        InputError: for a damaged file, or another number of weights.
    """
    path = _folder.fetch(source, WEIGHTS)
    tensors = list(_folder.load_tensors(path).values())
    if [tuple(each.shape) for each in tensors] != [(width,)]:
        raise InputError(f"{path} does not hold {width} weights: it belongs to another model")
    return tensors[0]


def write(folder: Path, rules: LateInteractionRules, options: dict[str, Any], *, lookup: bool) -> None:
    """Add the files beside the masked language model's and the tokenizer's.

    With looked-up queries no ``modules.json`` is written: its reader would encode queries as documents.
    """
    lengths = {"query_length": rules.query_length, "document_length": rules.document_length}
    prompts = {"query": rules.query_prompt, "document": rules.document_prompt}
    own = {f"{side}_prompt": prompt for side, prompt in prompts.items()}
    _folder.write_json(folder / _folder.SETTINGS, {"kind": KIND} | options | lengths | own)
    if lookup:
        return
    modules = [("", "MLMTransformer"), (_POOLING, "SpladePooling")]
    _folder.write_json(
        folder / _folder.MODULES,
        [{"idx": i, "name": str(i), "path": path, "type": _LIBRARY + kind} for i, (path, kind) in enumerate(modules)],
    )
    (folder / _POOLING).mkdir()
    activation = "log1p_relu" if options["log_twice"] else "relu"
    _folder.write_json(
        folder / _POOLING / "config.json", {"pooling_strategy": "max", "activation_function": activation}
    )
    transformer: dict[str, Any] = {"max_seq_length": max(lengths.values()), "do_lower_case": False}
    if rules.query_length != rules.document_length:
        transformer |= lengths
    _folder.write_json(folder / _TRANSFORMER, transformer)
    settings = {
        "model_type": "SparseEncoder",
        "prompts": prompts,
        "default_prompt_name": None,
        "similarity_fn_name": "dot",
    }
    _folder.write_json(folder / _CONFIG, settings)
