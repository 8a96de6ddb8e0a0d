"""Dense encoders on disk: sentence-transformers' modules (transformer, pooling, dense layers, normalisation)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rankgrad._checks import InputError
from rankgrad.models import _folder
from rankgrad.models._dense_modules import TANH, read_layers, without_cut, write_layer
from rankgrad.models._pooling_module import pooling_config, read_pooling
from rankgrad.modules.pooling import StatePooling
from rankgrad.modules.projection_layer import ProjectionLayer
from rankgrad.tokens import LateInteractionRules

KIND = "dense_encoder"
_CONFIG = "config_sentence_transformers.json"
_TRANSFORMER = "sentence_bert_config.json"
_LIBRARY = "sentence_transformers.models."


class SavedDense(NamedTuple):
    """What a folder says beyond the encoder itself.

    Attributes:
        options: of the class, those that the folder tells.
        layers: between pooling and normalisation, without one that only keeps the leading coordinates.
        lower_case: texts are put into lower case before the tokenizer's own rules.
        own: the folder was written here, so that it holds nothing but the model.
    """

    options: dict[str, Any]
    layers: list[ProjectionLayer]
    lower_case: bool
    own: bool


def read(source: str) -> SavedDense:
    """What a folder says of a dense encoder: nothing, for a bare one.

    Raises:
        InputError: for another kind of model, or modules that are not read.
    """
    extras = _folder.read_json(_folder.fetch(source, _folder.SETTINGS))
    if extras and extras.get("kind") != KIND:
        raise InputError(f"{source} holds a {extras.get('kind')}, no dense encoder: load it with its own class")
    modules = _folder.read_modules(source)
    if not modules:
        return SavedDense({}, [], False, bool(extras))
    settings = _folder.read_json(_folder.fetch(source, _CONFIG))
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    dense = kinds[2:].count("Dense")
    normalize = kinds[-1] == "Normalize"
    if kinds != ["Transformer", "Pooling", *["Dense"] * dense, *["Normalize"] * normalize] or modules[0]["path"]:
        raise InputError(
            f"{source} has the modules {', '.join(kinds)}: read are a Transformer in the folder itself, Pooling, Dense "
            "layers and Normalize, in this order"
        )
    transformer = _folder.read_json(_folder.fetch(source, _TRANSFORMER))
    similarity = settings.get("similarity_fn_name") or "cosine"
    if similarity not in ("cosine", "dot"):
        raise InputError(f"{source} compares by {similarity}: read are cosine and dot")
    limit = longest(source, transformer)
    options: dict[str, Any] = {
        "pooling": read_pooling(source, modules[1]["path"])[0],
        "normalize": normalize,
        "similarity": similarity,
        "document_length": transformer.get("document_length") or limit,
        "query_length": transformer.get("query_length") or limit,
    }
    for side, prompt in _prompts(settings).items():
        options[f"{side}_prompt"] = prompt
    options |= {name: extras[name] for name in ("scale", "matryoshka_dims", "truncate_dim") if name in extras}
    layers = read_layers(source, default_activation=TANH)
    layers = without_cut(layers, extras.get("truncate_dim"), source)
    return SavedDense(options, layers, bool(transformer.get("do_lower_case")), bool(extras))


def write(
    folder: Path,
    rules: LateInteractionRules,
    layers: Sequence[ProjectionLayer],
    *,
    hidden_size: int,
    pooling: StatePooling,
    normalize: bool,
    similarity: str,
    extras: dict[str, Any],
) -> None:
    """Add the files beside the encoder's and the tokenizer's.

    Raises:
        InputError: for a layer that a Dense module cannot hold.
    """
    kinds = ["Transformer", "Pooling", *["Dense"] * len(layers), *["Normalize"] * normalize]
    names = ["", *(f"{place}_{kind}" for place, kind in enumerate(kinds) if place)]
    listed = enumerate(zip(kinds, names, strict=True))
    _folder.write_json(
        folder / _folder.MODULES,
        [{"idx": i, "name": str(i), "path": name, "type": _LIBRARY + kind} for i, (kind, name) in listed],
    )
    (folder / names[1]).mkdir()
    _folder.write_json(folder / names[1] / "config.json", pooling_config(pooling, hidden_size))
    for layer, name in zip(layers, names[2:], strict=False):
        write_layer(folder / name, layer, io_names=False)
    if normalize:
        (folder / names[-1]).mkdir()
    transformer: dict[str, Any] = {"max_seq_length": rules.document_length, "do_lower_case": False}
    if rules.query_length != rules.document_length:
        transformer |= {"query_length": rules.query_length, "document_length": rules.document_length}
        transformer["max_seq_length"] = max(rules.query_length, rules.document_length)
    _folder.write_json(folder / _TRANSFORMER, transformer)
    settings = {
        "model_type": "SentenceTransformer",
        "prompts": {"query": rules.query_prompt, "document": rules.document_prompt},
        "default_prompt_name": None,
        "similarity_fn_name": similarity,
    }
    _folder.write_json(folder / _CONFIG, settings)
    _folder.write_json(folder / _folder.SETTINGS, {"kind": KIND} | extras)


def longest(source: str, transformer: dict[str, Any]) -> int:
    """The length at which a text is cut where no rule says so.

    Raises:
        InputError: for a damaged file.
    """
    own = transformer.get("max_seq_length")
    if own:
        # The library gives it to the tokenizer in the place of the tokenizer's own, be that smaller or not.
        return int(own)
    tokenizer = _folder.read_json(_folder.fetch(source, "tokenizer_config.json"))
    config = _folder.read_json(_folder.fetch(source, _folder.CONFIG))
    limits = (tokenizer.get("model_max_length"), config.get("max_position_embeddings"))
    return min((int(limit) for limit in limits if limit), default=256)


def _prompts(settings: dict[str, Any]) -> dict[str, str]:
    """The prompt of each side: its own, or the default one."""
    prompts = settings.get("prompts") or {}
    default = prompts.get(settings.get("default_prompt_name") or "") or ""
    document = next((prompts[name] for name in ("document", "passage", "corpus") if name in prompts), None)
    return {"query": prompts.get("query", default), "document": default if document is None else document}
