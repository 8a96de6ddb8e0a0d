"""Loading a transformers model with the head it was trained with."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from rankgrad._checks import InputError
from rankgrad.models import _folder
from rankgrad.models._tensor_check import check_places, check_shapes

Dtype = Literal["float32", "bfloat16", "float16"]


def load_headed(
    name: str,
    auto: Any,
    *,
    what: str,
    new: str = "",
    whole: bool = True,
    dtype: Dtype = "float32",
    options: dict[str, Any] | None = None,
) -> nn.Module:
    """Load a model by one of transformers' ``AutoModelFor...`` classes.

    Args:
        name: a folder or hub id.
        auto: the class.
        what: what the model is to be, for messages.
        new: beginning of the names of tensors that may be missing and start at random; empty = none may.
        whole: refuse tensors of the model's own parts, such as further layers, that have no place; False = the model is
            meant to be a part of the folder's.
        dtype: of the weights.
        options: of ``from_pretrained``.

    Raises:
        InputError: when the files are missing, truncated or of an architecture that has no such model, or when tensors
            of the model are missing or of another shape, or others are there that have no place.
    """
    try:
        with _folder.quiet():
            loaded = auto.from_pretrained(name, dtype=dtype, **_folder.LOADING, **(options or {}))
    except Exception as error:  # transformers and safetensors raise many kinds; each means the same to the caller
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{name} cannot be loaded as {what} ({lines[0][:200]}): check its files") from error
    backbone, found = loaded
    check_shapes(name, what, found)
    missing = [key for key in sorted(found["missing_keys"]) if not (new and key.startswith(new))]
    if missing:
        raise InputError(
            f"{name} lacks {len(missing)} tensors of {what} ({missing[0]}): its weights are incomplete, without the "
            "head, or of another architecture than its config.json"
        )
    if whole:
        # A folder of our own holds the model and nothing else, save a head that is not asked for.
        own = bool(_folder.read_json(_folder.fetch(name, _folder.SETTINGS)))
        check_places(name, what, backbone, found, beside=("score.weight",) if own else None)
    return backbone
