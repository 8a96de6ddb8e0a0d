"""ColBERT in the folders of Stanford's ColBERT: one weight file, projection included, and one file of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from rankgrad.models import _folder
from rankgrad.models._dense_modules import no_place, weights_at
from rankgrad.modules.projection import Projection
from rankgrad.modules.projection_layer import ProjectionLayer
from rankgrad.tokens import PUNCTUATION, LateInteractionRules

ARCHITECTURE = "HF_ColBERT"
PROJECTION = "linear.weight"
_ARTIFACT = "artifact.metadata"
_LAYOUT = "stanford"


def is_here(source: str) -> bool:
    """Is it such a folder?"""
    return ARCHITECTURE in _folder.architectures(source)


def read(source: str) -> tuple[LateInteractionRules, list[ProjectionLayer]]:
    """The rules and the projection.

    Raises:
        InputError: for a damaged file, or weights without a projection.
    """
    stored = _folder.read_json(_folder.fetch(source, _ARTIFACT))
    settings = stored.get("config", stored)
    rules = LateInteractionRules(
        query_prefix=settings.get("query_token_id") or "[unused0]",
        document_prefix=settings.get("doc_token_id") or "[unused1]",
        query_length=settings.get("query_maxlen") or 32,
        document_length=settings.get("doc_maxlen") or 220,
        query_expansion=True,
        attend_to_expansion=bool(settings.get("attend_to_mask_tokens")),
        skip_words=PUNCTUATION if settings.get("mask_punctuation", True) else (),
    )
    path = weights_at(source)
    weight = _folder.load_tensors(path).get(PROJECTION)
    if weight is None:
        raise _folder.lacks(path, PROJECTION)
    layer = ProjectionLayer(weight.shape[1], weight.shape[0])
    _folder.load_state(layer, {PROJECTION: weight}, path)
    return rules, [layer]


def write(folder: Path, backbone: nn.Module, rules: LateInteractionRules, projection: Projection) -> None:
    """Write encoder, projection and settings beside the tokenizer's files.

    Raises:
        InputError: for what the layout has no place for: more than one linear layer, prompts that are text, no prefixes
            or no expansion, another skip list than punctuation.
    """
    _check(rules, projection)
    _folder.save_backbone(backbone, folder)
    config = _folder.read_json(folder / _folder.CONFIG)
    _folder.write_json(folder / _folder.CONFIG, config | {"architectures": [ARCHITECTURE]})
    weights = folder / "model.safetensors"
    name = f"{backbone.base_model_prefix}."
    state = {name + key.removeprefix(name): value for key, value in _folder.load_tensors(weights).items()}
    layer = projection.layers[0]
    # What is normalised afterwards are the leading coordinates alone, so the other rows are not missed.
    state[PROJECTION] = layer.linear.weight[: projection.dim]  # type: ignore[union-attr, index]
    _folder.save_tensors(state, weights)
    settings: dict[str, Any] = {
        "query_token_id": rules.query_prefix,
        "doc_token_id": rules.document_prefix,
        "query_token": "[Q]",
        "doc_token": "[D]",
        "dim": projection.dim,
        "similarity": "cosine",
        "interaction": "colbert",
        "query_maxlen": rules.query_length,
        "doc_maxlen": rules.document_length,
        "mask_punctuation": bool(rules.skip_words),
        "attend_to_mask_tokens": rules.attend_to_expansion,
        "meta": {"version": "colbert-v0.4"},
    }
    _folder.write_json(folder / _ARTIFACT, settings)


def _check(rules: LateInteractionRules, projection: Projection) -> None:
    layers = list(projection.layers)
    if len(layers) != 1 or not layers[0].is_linear or layers[0].linear.bias is not None:  # type: ignore[union-attr]
        raise no_place("a projection that is not one linear layer without bias", _LAYOUT)
    if rules.query_prompt or rules.document_prompt:
        raise no_place("a prompt that is text", _LAYOUT)
    if not (rules.query_prefix and rules.document_prefix):
        raise no_place("a model without query_prefix and document_prefix", _LAYOUT)
    if not rules.query_expansion or rules.expansion_length not in (None, rules.query_length):
        raise no_place("a model that does not expand every query to query_length", _LAYOUT)
    if rules.skip_words and set(rules.skip_words) != set(PUNCTUATION):
        raise no_place("a skip list other than punctuation", _LAYOUT)
