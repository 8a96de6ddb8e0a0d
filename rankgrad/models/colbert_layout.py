"""ColBERT on disk: the layouts of PyLate, sentence-transformers and Stanford, and one of our own, read and written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from torch import nn

from rankgrad._checks import InputError
from rankgrad.models import _folder, _multi_vector_layout, _own_layout, _pylate_layout, _stanford_layout
from rankgrad.models._dense_modules import without_cut
from rankgrad.modules.projection import Projection
from rankgrad.modules.projection_layer import ProjectionLayer
from rankgrad.tokens import LateInteractionRules

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Layout = Literal["pylate", "sentence-transformers", "stanford", "rankgrad"]
LAYOUTS: tuple[Layout, ...] = ("pylate", "sentence-transformers", "stanford", "rankgrad")


class SavedColBERT(NamedTuple):
    """What a folder says beyond the encoder itself.

    Attributes:
        layout: whose folder it is.
        rules: with prompts as the folder has them; :func:`final_rules` turns what is one token into prefixes.
        layers: of the projection, without one that only keeps the leading coordinates; none, where the encoder's own
            states are the embeddings.
        beside: tensors in the encoder's weight file that are not the encoder's.
        lower_case: texts are put into lower case before the tokenizer's own rules.
        extras: settings that only this library knows.
    """

    layout: Layout
    rules: LateInteractionRules
    layers: list[ProjectionLayer]
    beside: tuple[str, ...]
    lower_case: bool
    extras: dict[str, Any]


def read(source: str) -> SavedColBERT | None:
    """Read the rules and the projection of a saved ColBERT; None for a plain encoder.

    Raises:
        InputError: for a head that cannot be represented, or a damaged file.
    """
    extras = _folder.read_json(_folder.fetch(source, _folder.SETTINGS))
    if extras and extras.get("kind") != _own_layout.KIND:
        return None
    settings = _folder.read_json(_folder.fetch(source, _pylate_layout.CONFIG))
    beside: tuple[str, ...] = ()
    layout: Layout
    if _own_layout.is_here(extras):
        layout, (rules, layers) = "rankgrad", _own_layout.read(source, extras)
    elif settings.get("model_type") == _multi_vector_layout.MODEL_TYPE:
        layout, (rules, layers) = "sentence-transformers", _multi_vector_layout.read(source, settings)
    elif _pylate_layout.is_here(settings):
        layout, (rules, layers) = "pylate", _pylate_layout.read(source, settings)
        # Models that came from Stanford's folders keep its copy of the projection.
        beside = (_stanford_layout.PROJECTION,)
    elif _stanford_layout.is_here(source):
        layout, (rules, layers) = "stanford", _stanford_layout.read(source)
        beside = (_stanford_layout.PROJECTION,)
    else:
        return None
    if layout in ("sentence-transformers", "pylate"):
        layers = without_cut(layers, extras.get("truncate_dim"), source)
    lower_case = _folder.read_json(_folder.fetch(source, "sentence_bert_config.json")).get("do_lower_case", False)
    return SavedColBERT(layout, rules, layers, beside, bool(lower_case), extras)


def final_rules(saved: SavedColBERT, tokenizer: PreTrainedTokenizerFast) -> LateInteractionRules:
    """The rules, with prompts that are one token as prefixes; puts the tokenizer into lower case where asked for."""
    if saved.lower_case:
        _folder.lower_case(tokenizer)
    if saved.layout == "sentence-transformers":
        return _multi_vector_layout.prompts_as_prefixes(saved.rules, tokenizer)
    return saved.rules


def write(
    folder: Path,
    backbone: nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    rules: LateInteractionRules,
    projection: Projection,
    *,
    extras: dict[str, Any],
    layout: Layout | None,
) -> None:
    """Write a complete folder.

    Args:
        folder: an empty one.
        backbone, tokenizer, rules, projection: of the model.
        extras: settings that only this library reads; others pass over them.
        layout: None = PyLate's, where it has a place for all of the model, else our own.

    Raises:
        InputError: for an unknown layout, or one that has no place for a part of the model.
    """
    if layout is None:
        layout = "rankgrad" if _gated(projection.layers) or _floats(rules) else "pylate"
    if layout not in LAYOUTS:
        raise InputError(f"layout={layout!r} is unknown: choose one of {', '.join(LAYOUTS)}")
    if layout == "sentence-transformers":
        tokenizer = _multi_vector_layout.prepared_tokenizer(tokenizer, rules)
    _folder.save_tokenizer(tokenizer, folder)
    if layout == "stanford":
        _stanford_layout.write(folder, backbone, rules, projection)
        extras = _narrowed(extras, projection.dim)
    else:
        _folder.save_backbone(backbone, folder)
    if layout == "pylate":
        _pylate_layout.write(folder, rules, projection)
    elif layout == "sentence-transformers":
        _multi_vector_layout.write(folder, rules, projection)
    elif layout == "rankgrad":
        extras = extras | _own_layout.write(folder, rules, projection)
    if extras:
        _folder.write_json(folder / _folder.SETTINGS, {"kind": _own_layout.KIND} | extras)


def _narrowed(extras: dict[str, Any], dim: int) -> dict[str, Any]:
    """The settings of a model that was written with ``dim`` coordinates, the others left out."""
    kept = {name: value for name, value in extras.items() if name not in ("truncate_dim", "matryoshka_dims")}
    widths = [width for width in extras.get("matryoshka_dims", ()) if width <= dim]
    return kept | ({"matryoshka_dims": widths} if widths else {})


def _gated(layers: Sequence[nn.Module] | nn.Sequential) -> bool:
    return any(getattr(layer, "gate", None) is not None for layer in layers)


def _floats(rules: LateInteractionRules) -> bool:
    """Are queries expanded to a length below that at which they are cut? PyLate has no place for it."""
    return rules.query_expansion and rules.expansion_length not in (None, rules.query_length)
