"""Whether the tensors of a model folder are those of the model that its configuration describes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from torch import nn

from rankgrad._checks import InputError

# Numbers that older versions stored and that the model counts itself.
_COUNTED = ("position_ids", "token_type_ids", "inv_freq", "masked_bias", ".attn.bias", ".attention.bias", "._weight")
# Heads of masked language models.
_HEADS = ("cls.", "lm_head.", "vocab_", "mask_predictions.", "lm_predictions.")


def check_shapes(name: str, what: str, found: dict[str, Any]) -> None:
    """Refuse weights of other shapes than the model's.

    Args:
        name: the folder or hub id.
        what: the model with its article, for messages.
        found: transformers' report of the loading.

    Raises:
        InputError: naming the first tensor and both shapes.
    """
    wrong = sorted(found["mismatched_keys"], key=lambda each: each[0])
    if wrong:
        key, stored, wanted = wrong[0]
        more = f", and {len(wrong) - 1} more such" if len(wrong) > 1 else ""
        raise InputError(
            f"{name} holds {key} of shape {list(stored)}, where {what} has {list(wanted)}{more}: its weights are of "
            "another architecture than its config.json"
        )


def check_places(
    name: str, what: str, backbone: nn.Module, found: dict[str, Any], *, beside: Collection[str] | None = None
) -> None:
    """Refuse tensors that the model has no place for, such as those of further layers.

    Args:
        name, what, found: as in :func:`check_shapes`.
        backbone: the model.
        beside: tensors that may be there beside the model's; None = any outside the encoder, as a folder may hold a
            head that is not read.

    Raises:
        InputError: naming some of them.
    """
    unread = [key for key in sorted(found["unexpected_keys"]) if "pooler." not in key and not key.endswith(_COUNTED)]
    if beside is None:
        extra = [key for key in unread if _is_inside(key, backbone)]
    else:
        extra = [key for key in unread if key not in beside and not key.startswith(_HEADS)]
    if extra:
        raise InputError(
            f"{name} holds {len(extra)} tensors that {what} has no place for ({some(extra)}): its config.json "
            "describes another model than the one that was saved"
        )


def some(names: Sequence[str]) -> str:
    """The first of a few names."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _is_inside(key: str, backbone: nn.Module) -> bool:
    """Does the name begin with a part of the encoder (decoder) itself, not of a head on it?"""
    prefix = str(getattr(backbone, "base_model_prefix", ""))
    base = getattr(backbone, prefix, backbone) if prefix else backbone
    return key.removeprefix(f"{prefix}.").partition(".")[0] in {part for part, _ in base.named_children()}
