"""The Pooling module of sentence-transformers on disk, written with the names that older versions know too."""

from __future__ import annotations

from typing import Any

from rankgrad._checks import InputError
from rankgrad.models import _folder
from rankgrad.modules.pooling import StatePooling

_MODES: dict[str, StatePooling] = {
    "cls": "cls",
    "mean": "mean",
    "max": "max",
    "weightedmean": "weighted_mean",
    "lasttoken": "last",
}
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def read_pooling(source: str, path: str) -> tuple[StatePooling, dict[str, Any]]:
    """The one way of pooling that a Pooling module has, and all that it says.

    Raises:
        InputError: for a missing file, or a pooling that is not read.
    """
    where = _folder.fetch(source, f"{path}/config.json")
    config = _folder.read_json(where)
    if not config:
        raise InputError(f"{where} is missing: copy the model folder again")
    modes = config.get("pooling_mode") or [mode for flag, mode in _FLAGS.items() if config.get(flag)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else [str(mode) for mode in modes]
    if len(modes) != 1 or modes[0] not in _MODES:
        raise InputError(f"{where} pools by {', '.join(modes)}: read is one of {', '.join(_MODES)}")
    if not config.get("include_prompt", True):
        raise InputError(f"{where} leaves the prompt out of the pooling (include_prompt), which is not read")
    return _MODES[modes[0]], config


def pooling_config(pooling: StatePooling, width: int) -> dict[str, Any]:
    """What the module's file says."""
    flags = {flag: _MODES.get(mode) == pooling for flag, mode in _FLAGS.items()}
    return {"word_embedding_dimension": width} | flags | {"include_prompt": True}
