"""ColBERT in the folders of sentence-transformers' MultiVectorEncoder: prompts that are text, one module a file."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankgrad._checks import InputError, require
from rankgrad.models import _folder
from rankgrad.models._dense_modules import TANH, layers_of, no_place, read_layers, write_layer
from rankgrad.models.dense_encoder_layout import longest
from rankgrad.modules.projection import Projection
from rankgrad.modules.projection_layer import ProjectionLayer
from rankgrad.tokens import LateInteractionRules

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MODEL_TYPE = "MultiVectorEncoder"
_LIBRARY = "sentence_transformers."
_TYPES = {
    "Transformer": _LIBRARY + "base.modules.transformer.Transformer",
    "Dense": _LIBRARY + "base.modules.dense.Dense",
    "MultiVectorMask": _LIBRARY + "multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
    "Normalize": _LIBRARY + "base.modules.normalize.Normalize",
}
_TOKENS = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}


def read(source: str, settings: dict[str, Any]) -> tuple[LateInteractionRules, list[ProjectionLayer]]:
    """The rules and the projection; prompts are left as text, see :func:`prompts_as_prefixes`.

    Raises:
        InputError: for a damaged file, or a module that cannot be read.
    """
    modules = {each["type"].rpartition(".")[2]: each["path"] for each in _folder.read_modules(source)}
    unknown = sorted(modules.keys() - _TYPES.keys())
    if unknown or not {"Transformer", "Normalize"} <= modules.keys():
        problem = f"has the module {unknown[0]}" if unknown else "does not normalise its embeddings"
        raise InputError(f"{source} {problem}: read are {', '.join(_TYPES)}, the first and the last in any case")
    mask = _folder.read_json(_folder.fetch(source, f"{modules.get('MultiVectorMask', '')}/config.json"))
    if "MultiVectorMask" in modules and (
        mask.get("skiplist_tasks", ["document"]) != ["document"] or mask.get("keep_only_token_ids")
    ):
        raise InputError(f"{source} masks more than words of documents: skiplist_tasks and keep_only_token_ids are not")
    transformer = _folder.read_json(_folder.fetch(source, "sentence_bert_config.json"))
    expansion = transformer.get("query_expansion")
    limit = longest(source, transformer)
    length, floor = _query_length(transformer, expansion, limit)
    prompts = settings.get("prompts") or {}
    rules = LateInteractionRules(
        query_length=length,
        document_length=transformer.get("document_length") or limit,
        query_expansion=expansion is not None,
        attend_to_expansion=bool((expansion or {}).get("attend")),
        skip_words=tuple(mask.get("skiplist_words") or ()) if "MultiVectorMask" in modules else (),
        query_prompt=prompts.get("query") or "",
        document_prompt=prompts.get("document") or "",
        expansion_length=None if floor == length else floor,
    )
    return rules, read_layers(source, default_activation=TANH)


def prompts_as_prefixes(rules: LateInteractionRules, tokenizer: PreTrainedTokenizerFast) -> LateInteractionRules:
    """Turn a prompt that is one of the tokenizer's added tokens into a prefix, which says the same to every layout.

    A prompt that is one word of the vocabulary stays text: as a token of its own it would be found inside words.
    """
    added = tokenizer.get_added_vocab()
    changed: dict[str, Any] = {}
    for side in ("query", "document"):
        prompt = getattr(rules, f"{side}_prompt")
        ids = tokenizer.backend_tokenizer.encode(prompt, add_special_tokens=False).ids if prompt else []
        prefix = tokenizer.backend_tokenizer.id_to_token(ids[0]) if len(ids) == 1 else None
        if prefix in added and _is_one_token(tokenizer, prompt, prefix):
            changed |= {f"{side}_prefix": prefix, f"{side}_prompt": ""}
    return LateInteractionRules(**{**vars(rules), **changed})


def prepared_tokenizer(tokenizer: PreTrainedTokenizerFast, rules: LateInteractionRules) -> PreTrainedTokenizerFast:
    """A copy that keeps each prefix in one piece when it stands as text before a query or document.

    Raises:
        InputError: when the tokenizer reads the text after a prefix otherwise than alone.
    """
    prefixes = [prefix for prefix in (rules.query_prefix, rules.document_prefix) if prefix]
    if not prefixes:
        return tokenizer
    added_token = require("tokenizers", "text").AddedToken
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens([added_token(prefix, normalized=False, special=True) for prefix in prefixes])
    for prefix in prefixes:
        if not _is_one_token(tokenizer, prefix, prefix):
            raise no_place(f"the prefix {prefix!r}, after which this tokenizer reads text otherwise,", MODEL_TYPE)
    return tokenizer


def write(folder: Path, rules: LateInteractionRules, projection: Projection) -> None:
    """Add the files beside the encoder's and the tokenizer's, which is that of :func:`prepared_tokenizer`.

    Raises:
        InputError: for what the layout has no place for: a gate, an activation with options, or an expansion beyond the
            length at which queries are cut.
    """
    if rules.query_expansion and (rules.expansion_length or 0) > rules.query_length:
        what = f"expansion_length={rules.expansion_length} above query_length={rules.query_length}"
        raise no_place(what, MODEL_TYPE)
    layers = layers_of(projection)
    kinds = ["Transformer", *["Dense"] * len(layers), "MultiVectorMask", "Normalize"]
    names = ["", *(f"{place}_{kind}" for place, kind in enumerate(kinds) if place)]
    for layer, name in zip(layers, names[1:], strict=False):
        write_layer(folder / name, layer, io_names=True)
    (folder / names[-2]).mkdir()
    mask = {"skiplist_words": list(rules.skip_words), "skiplist_tasks": ["document"], "keep_only_token_ids": None}
    _folder.write_json(folder / names[-2] / "config.json", mask)
    (folder / names[-1]).mkdir()
    _folder.write_json(folder / names[-1] / "config.json", _TOKENS)
    listed = zip(kinds, names, strict=True)
    _folder.write_json(
        folder / _folder.MODULES,
        [{"idx": i, "name": str(i), "path": name, "type": _TYPES[kind]} for i, (kind, name) in enumerate(listed)],
    )
    transformer: dict[str, Any] = {
        "transformer_task": "feature-extraction",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        "module_output_name": "token_embeddings",
        "query_length": rules.query_length,
        "document_length": rules.document_length,
    }
    if rules.query_expansion:
        floor = rules.expansion_length or rules.query_length
        strategy = "fixed" if floor == rules.query_length else "min"
        expansion = {"strategy": strategy, "attend": rules.attend_to_expansion, "token": None, "length": floor}
        transformer["query_expansion"] = expansion
    _folder.write_json(folder / "sentence_bert_config.json", transformer)
    settings = {
        "model_type": MODEL_TYPE,
        "prompts": {
            "query": rules.query_prefix + rules.query_prompt,
            "document": rules.document_prefix + rules.document_prompt,
        },
        "default_prompt_name": None,
        "similarity_fn_name": "maxsim",
    }
    _folder.write_json(folder / "config_sentence_transformers.json", settings)


def _query_length(transformer: dict[str, Any], expansion: dict[str, Any] | None, limit: int) -> tuple[int, int]:
    """Where queries are cut, and to what length they are expanded."""
    if expansion is None:
        length = transformer.get("query_length") or limit
        return length, length
    if expansion.get("token"):
        raise InputError(f"query_expansion.token={expansion['token']!r}: only the tokenizer's own mask token is read")
    floor = int(expansion["length"])
    if expansion.get("strategy") == "fixed":
        return floor, floor
    return max(transformer.get("query_length") or limit, floor), floor


def _is_one_token(tokenizer: PreTrainedTokenizerFast, prompt: str, prefix: str) -> bool:
    """Is the prompt before a text the prefix's id before the text's own?"""
    text = "some text"
    backend = tokenizer.backend_tokenizer
    alone = backend.encode(text, add_special_tokens=False).ids
    ids = backend.encode(prompt + text, add_special_tokens=False).ids
    return ids == [tokenizer.convert_tokens_to_ids(prefix), *alone]
