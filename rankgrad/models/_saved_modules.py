"""Cross-encoders that sentence-transformers saved as a row of modules: which they are, and the settings beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from rankgrad._checks import InputError
from rankgrad.models import _folder

CONFIG = "config_sentence_transformers.json"
TRANSFORMER = "sentence_bert_config.json"
IDENTITY = "torch.nn.modules.linear.Identity"
_LIBRARY = "sentence_transformers."
_MODULES = _LIBRARY + "sentence_transformer.modules."
_TYPES = {
    "Transformer": _LIBRARY + "base.modules.transformer.Transformer",
    "Pooling": _MODULES + "pooling.Pooling",
    "Dense": _LIBRARY + "base.modules.dense.Dense",
    "LayerNorm": _MODULES + "layer_norm.LayerNorm",
    "Dropout": _MODULES + "dropout.Dropout",
    "LogitScore": _LIBRARY + "cross_encoder.modules.logit_score.LogitScore",
}
# Encoders whose positions begin behind the padding's id, which is 1 where no other is named.
_COUNTS_FROM_PADDING = frozenset(
    {"camembert", "data2vec-text", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta"}
    | {"xlm-roberta-xl", "xmod"}
)
# What a tokenizer may be told without another text coming of it.
_CALL = frozenset({"max_length", "padding", "padding_side", "pad_to_multiple_of", "return_tensors", "logits_to_keep"})


class SavedModules(NamedTuple):
    """What a folder lists.

    Attributes:
        names: of the modules' classes, in order.
        paths: their folders, empty for the model's own.
        transformer: the settings of the first module.
        settings: those of the whole: prompts, activation.
    """

    names: tuple[str, ...]
    paths: tuple[str, ...]
    transformer: dict[str, Any]
    settings: dict[str, Any]

    @property
    def task(self) -> str:
        """What the transformer was loaded for; older versions knew one."""
        return str(self.transformer.get("transformer_task") or "feature-extraction")

    @property
    def output(self) -> object:
        """Which of the transformer's outputs is read of a pair; None = the usual one of its task."""
        modality = (self.transformer.get("modality_config") or {}).get("message" if self.chats else "text") or {}
        return modality.get("method_output_name") if modality.get("method", "forward") == "forward" else modality

    @property
    def chats(self) -> bool:
        """Are pairs made texts by the tokenizer's chat template?"""
        return "message" in (self.transformer.get("modality_config") or {})

    @property
    def processing(self) -> dict[str, Any]:
        """What the tokenizer is told with every call."""
        return self.transformer.get("processing_kwargs") or {}

    @property
    def prompt(self) -> str:
        """The prompt that is used where nobody names one."""
        return default_prompt(self.settings)


def read(source: str) -> SavedModules | None:
    """The modules of a cross-encoder of sentence-transformers; None for any other folder.

    Raises:
        InputError: for a module of an unknown type, or one that lies outside the folder.
    """
    settings = _objects(source, CONFIG, ("prompts",), str)
    listed = _folder.read_modules(source)
    if settings.get("model_type") != "CrossEncoder" or not listed:
        return None
    names, paths = [], []
    for module in listed:
        kind, path = module["type"], module["path"]
        name = kind.rpartition(".")[2]
        if not kind.startswith(_LIBRARY) or name not in _TYPES:
            raise InputError(f"{source} has the module {kind!r}, which is not read: read are {', '.join(_TYPES)}")
        if PurePosixPath(path).is_absolute() or "\\" in path or ".." in PurePosixPath(path).parts:
            raise InputError(f"{source} has the module {name} at {path!r}, outside the folder")
        names.append(name)
        paths.append(path)
    if names[0] != "Transformer" or paths[0] or "Transformer" in names[1:]:
        raise InputError(
            f"{source} has the modules {', '.join(names)}: read is one Transformer, first and in the folder"
        )
    transformer = _objects(source, TRANSFORMER, ("modality_config", "processing_kwargs"), dict)
    saved = SavedModules(tuple(names), tuple(paths), transformer, settings)
    _check_processing(source, saved)
    return saved


def default_prompt(settings: dict[str, Any]) -> str:
    """The prompt of a folder's settings that is used where nobody names one; empty for none."""
    name = settings.get("default_prompt_name")
    return (settings.get("prompts") or {}).get(name) or "" if name else ""


def with_prompt(settings: dict[str, Any], prompt: str) -> dict[str, Any]:
    """Settings whose default prompt is this one; their own name for it, if they have one, stays.

    Example:
        >>> with_prompt({"prompts": {"web": "find: "}}, "find: ")
        {'prompts': {'web': 'find: '}, 'default_prompt_name': 'web'}
        >>> with_prompt({}, "ask: ")
        {'prompts': {'query': 'ask: '}, 'default_prompt_name': 'query'}
    """
    if default_prompt(settings) == prompt:
        return settings
    prompts = settings.get("prompts") or {}
    if not prompt:
        return settings | {"default_prompt_name": None}
    name = next((name for name, text in prompts.items() if text == prompt), "query")
    return settings | {"prompts": prompts | {name: prompt}, "default_prompt_name": name}


def kept(settings: dict[str, Any]) -> dict[str, Any]:
    """Those of a folder's settings that are written again as they came."""
    names = ("prompts", "default_prompt_name", "activation_fn", "keep_in_fp32_modules")
    return {name: settings[name] for name in names if settings.get(name)}


def longest(source: str) -> int | None:
    """The smallest of the lengths at which a folder has its inputs cut; None where it names none."""
    transformer = _folder.read_json(_folder.fetch(source, TRANSFORMER))
    tokenizer = _folder.read_json(_folder.fetch(source, "tokenizer_config.json"))
    config = _folder.read_json(_folder.fetch(source, _folder.CONFIG))
    processing = transformer.get("processing_kwargs") or {}
    places = config.get("max_position_embeddings")
    if places and config.get("model_type") in _COUNTS_FROM_PADDING:
        padding = config.get("pad_token_id")
        places -= 2 if padding is None else padding + 1
    limits = [transformer.get("max_seq_length"), tokenizer.get("model_max_length"), places]
    limits += [(processing.get(part) or {}).get("max_length") for part in ("text", "common", "chat_template")]
    return min((int(limit) for limit in limits if limit), default=None)


def write(
    folder: Path,
    names: Sequence[str],
    *,
    origin: dict[str, Any],
    transformer: dict[str, Any],
    tokenizer: dict[str, Any],
) -> list[Path]:
    """Write the list of modules and the settings; returns the modules' folders, those but the first made here.

    Args:
        names: of the modules' classes.
        origin: what :func:`kept` gave; without an activation the identity: scores are logits here.
        transformer: the settings of the first module.
        tokenizer: settings that the tokenizer's file is to have.
    """
    listed = [f"{place}_{name}" if place else "" for place, name in enumerate(names)]
    entries = zip(names, listed, strict=True)
    _folder.write_json(
        folder / _folder.MODULES,
        [{"idx": i, "name": str(i), "path": path, "type": _TYPES[name]} for i, (name, path) in enumerate(entries)],
    )
    start = {"model_type": "CrossEncoder", "prompts": {}, "default_prompt_name": None, "activation_fn": IDENTITY}
    _folder.write_json(folder / CONFIG, start | origin)
    _folder.write_json(folder / TRANSFORMER, transformer)
    path = folder / "tokenizer_config.json"
    _folder.write_json(path, _folder.read_json(path) | tokenizer)
    for name in listed[1:]:
        (folder / name).mkdir()
    return [folder / name for name in listed]


def _objects(source: str, name: str, keys: Sequence[str], leaf: type) -> dict[str, Any]:
    """A JSON file that is an object, in which each of ``keys`` is an object of ``leaf``, or missing."""
    where = _folder.fetch(source, name)
    found = _folder.read_json(where)
    inner = [found.get(key) or {} for key in keys] if isinstance(found, dict) else [None]
    if not all(isinstance(part, dict) and all(isinstance(value, leaf) for value in part.values()) for part in inner):
        raise InputError(f"{where} is not what sentence-transformers writes: copy the model folder again")
    return found


def _check_processing(source: str, saved: SavedModules) -> None:
    for part in ("text", "common"):
        for key, value in (saved.processing.get(part) or {}).items():
            if key not in _CALL and not (key == "truncation" and value in (True, "longest_first")):
                raise InputError(f"{source} has its tokenizer called with {key}={value!r}, which is not read")
