"""Loading the vision side of a model: the encoder of patches, and what makes pixels of pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from rankgrad._checks import InputError, require
from rankgrad.models import _folder


def load_vision(name: str, *, trust_remote_code: bool = False) -> nn.Module:
    """Load a vision encoder; of a pair of encoders (CLIP, SigLIP) the one of images.

    Raises:
        InputError: as :func:`rankgrad.models._folder.load_backbone`.
    """
    backbone: Any = _folder.load_backbone(name, trust_remote_code=trust_remote_code)
    return backbone.vision_model if hasattr(backbone.config, "vision_config") else backbone


def load_processor(name: str, *, trust_remote_code: bool = False) -> Callable[..., Any] | None:
    """The image processor of a folder or hub id; None where it has none.

    Raises:
        InputError: for one that does not load.
        MissingExtraError: without Pillow, where there is one.
    """
    if not _folder.fetch(name, "preprocessor_config.json").is_file():
        return None
    require("PIL.Image", "images")
    try:
        with _folder.quiet():
            loader = require("transformers", "text").AutoImageProcessor
            return loader.from_pretrained(name, trust_remote_code=trust_remote_code)
    except Exception as error:  # transformers raises many kinds; each means the same to the caller
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{name} has an image processor that does not load ({reason}): check its files") from error
