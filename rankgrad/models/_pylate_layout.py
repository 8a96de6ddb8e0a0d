"""ColBERT in PyLate's folders: prefixes that are inserted as tokens, flat settings, Dense modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rankgrad.models import _folder
from rankgrad.models._dense_modules import layers_of, no_place, read_layers, write_layer
from rankgrad.modules.projection import Projection
from rankgrad.modules.projection_layer import ProjectionLayer
from rankgrad.tokens import PUNCTUATION, LateInteractionRules

CONFIG = "config_sentence_transformers.json"
_IDENTITY = "torch.nn.modules.linear.Identity"


def is_here(settings: dict[str, Any]) -> bool:
    """Do these settings belong to a PyLate model? Older ones say so by their prefixes only."""
    return settings.get("model_type") == "ColBERT" or "query_prefix" in settings


def read(source: str, settings: dict[str, Any]) -> tuple[LateInteractionRules, list[ProjectionLayer]]:
    """The rules and the projection.

    Raises:
        InputError: for a damaged file, or a head that cannot be read.
    """
    prompts = settings.get("prompts") or {}
    rules = LateInteractionRules(
        query_prefix=_or(settings.get("query_prefix"), "[Q] "),
        document_prefix=_or(settings.get("document_prefix"), "[D] "),
        query_length=settings.get("query_length") or 32,
        document_length=settings.get("document_length") or 180,
        query_expansion=_or(settings.get("do_query_expansion"), True),
        attend_to_expansion=bool(settings.get("attend_to_expansion_tokens")),
        skip_words=tuple(_or(settings.get("skiplist_words"), PUNCTUATION)),
        query_prompt=prompts.get("query") or "",
        document_prompt=prompts.get("document") or "",
    )
    return rules, read_layers(source, default_activation=_IDENTITY)


def write(folder: Path, rules: LateInteractionRules, projection: Projection) -> None:
    """Add the files beside the encoder's and the tokenizer's.

    PyLate puts a random layer where it finds none, so a model without a projection is written with the identity.

    Raises:
        InputError: for what the layout has no place for: a gate, or an expansion shorter than the queries may be.
    """
    if rules.query_expansion and rules.expansion_length not in (None, rules.query_length):
        raise no_place(f"expansion_length={rules.expansion_length}", "pylate")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for place, layer in enumerate(layers_of(projection), start=1):
        name = f"{place}_Dense"
        modules.append({"idx": place, "name": str(place), "path": name, "type": "pylate.models.Dense.Dense"})
        write_layer(folder / name, layer, io_names=False)
    _folder.write_json(folder / _folder.MODULES, modules)
    _folder.write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": rules.document_length, "do_lower_case": False}
    )
    settings = {
        "model_type": "ColBERT",
        "prompts": {"query": rules.query_prompt, "document": rules.document_prompt},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        "query_prefix": rules.query_prefix,
        "document_prefix": rules.document_prefix,
        "query_length": rules.query_length,
        "document_length": rules.document_length,
        "do_query_expansion": rules.query_expansion,
        "attend_to_expansion_tokens": rules.attend_to_expansion,
        "skiplist_words": list(rules.skip_words),
    }
    _folder.write_json(folder / CONFIG, settings)


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
