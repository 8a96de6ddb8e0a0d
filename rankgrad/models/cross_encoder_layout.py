"""Cross-encoders on disk: sequence classifiers and module folders of sentence-transformers, read and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from rankgrad._checks import InputError
from rankgrad.models import _folder, _saved_modules, _score_modules
from rankgrad.models._dense_modules import no_place
from rankgrad.models._saved_modules import SavedModules
from rankgrad.modules.pooled_classifier import PooledClassifier

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from rankgrad.models.cross_encoder import CrossEncoder
    from rankgrad.tokens import PairTokenizer

_LAYOUT = "sentence-transformers"
_CLASSIFIES = "sequence-classification"
_STATES = "last_hidden_state"
_OWN = "head.safetensors"


def read(source: str) -> dict[str, Any]:
    """What a folder says of a cross-encoder: our own settings, or the lengths of another library's classifier.

    Returns:
        Nothing for a bare encoder.

    Raises:
        InputError: for another kind of model, a classifier of several labels, or modules that are no classifier.
    """
    settings = _folder.read_json(_folder.fetch(source, _folder.SETTINGS))
    if settings and settings.get("kind") != "cross_encoder":
        raise InputError(f"{source} holds a {settings.get('kind')}, no cross-encoder: load it with its own class")
    saved = _modules(source)
    classifies = _folder.is_classifier(source)
    if settings or not (classifies or _is_pooled(saved)):
        return settings
    if classifies and not _is_pooled(saved):
        _check_classifier(source)
    longest = _saved_modules.longest(source) or 512
    prompt = "" if saved is None else saved.prompt
    return {"max_length": longest, "query_length": min(64, longest // 2), "query_prompt": prompt}


def load(
    source: str, settings: dict[str, Any], head: str | None, *, trust_remote_code: bool
) -> tuple[str, nn.Module, PreTrainedTokenizerFast]:
    """The head, the backbone that it needs, and the tokenizer.

    Args:
        source: a folder or hub id.
        settings: what :func:`read` found.
        head: the one asked for; None = the folder's.

    Raises:
        InputError: when the files are damaged, or modules of the folder do not fit.
    """
    saved = _modules(source)
    classifies = _folder.is_classifier(source) or _is_pooled(saved)
    head = str(head or settings.get("head") or ("cls" if classifies else "interaction"))
    pooled = saved if head == "cls" and saved is not None and _is_pooled(saved) else None
    beside = () if settings and head == settings.get("head", "cls") else None
    backbone = _folder.load_backbone(
        source, classifier=head == "cls" and pooled is None, beside=beside, trust_remote_code=trust_remote_code
    )
    tokenizer = _folder.load_tokenizer(source, trust_remote_code=trust_remote_code)
    if pooled is not None:
        backbone = _score_modules.read(source, pooled, backbone)
    if saved is not None and saved.transformer.get("do_lower_case"):
        _folder.lower_case(tokenizer)
    _remember(backbone, source)
    return head, backbone, tokenizer


def check_layout(model_options: dict[str, Any], *, head: str, layout: str) -> None:
    """Refuse a layout that cannot hold the model.

    Args:
        model_options: what goes beyond one score a pair.

    Raises:
        InputError: naming the part without a place, or an unknown layout.
    """
    if layout not in ("rankgrad", _LAYOUT):
        raise InputError(f'layout={layout!r} is unknown: choose "rankgrad" or "{_LAYOUT}"')
    if layout == _LAYOUT and head != "cls":
        raise no_place(f"head={head!r}, which reads query and document apart,", _LAYOUT)
    if layout == _LAYOUT and model_options:
        raise no_place(f"{next(iter(model_options))}={next(iter(model_options.values()))}", _LAYOUT)


def load_own(model: CrossEncoder, source: str, settings: dict[str, Any]) -> None:
    """Load what a saved model adds to its encoder, where the model's head is the folder's.

    Raises:
        InputError: when the file is damaged, or belongs to another model.
    """
    if settings.get("head") != model.head_name or (model.head_name == "cls" and not settings.get("exits")):
        return
    path = _folder.fetch(source, _OWN)
    saved = _folder.load_tensors(path)
    if list(model.options.exits) != settings.get("exits", []):
        # Exits that were not saved start anew.
        exits = {f"exits.{name}": value for name, value in model.exit_heads.state_dict().items()}
        rest = {name: value for name, value in saved.items() if not name.startswith("exits.")}
        saved = {**rest, **exits, **{name: value for name, value in saved.items() if name in exits}}
    _folder.load_state(model.own, saved, path)


def write(folder: Path, model: CrossEncoder) -> None:
    """Write transformer, tokenizer, what the model adds, and its settings.

    Raises:
        InputError: for a head whose layers have no module.
    """
    backbone = model.backbone
    if isinstance(backbone, PooledClassifier):
        _score_modules.names_of(backbone)
        backbone = backbone.encoder
    _folder.save_backbone(backbone, folder)
    _folder.save_tokenizer(model.text_tokenizer, folder)
    own = model.own.state_dict()
    if own:
        _folder.save_tensors(own, folder / _OWN)
    settings = {"kind": "cross_encoder", "head": model.head_name} | model.tokenizer.settings()
    _folder.write_json(folder / _folder.SETTINGS, settings | model.options.settings())
    if model.head_name == "cls":
        _write_modules(folder, model.backbone, model.tokenizer)


def _write_modules(folder: Path, backbone: nn.Module, tokenizer: PairTokenizer) -> None:
    """Add what sentence-transformers reads beside the transformer: length, prompt, modules, the scores' activation.

    A classifier that came with no activation is written with the identity: scores are logits here.
    """
    noted = getattr(backbone.config, "sentence_transformers", None) or {}
    pooled = isinstance(backbone, PooledClassifier)
    folders = _saved_modules.write(
        folder,
        _score_modules.names_of(backbone) if isinstance(backbone, PooledClassifier) else ["Transformer"],
        origin=_saved_modules.with_prompt(_saved_modules.kept(noted), tokenizer.query_prompt),
        transformer={
            "transformer_task": "feature-extraction" if pooled else _CLASSIFIES,
            "modality_config": {"text": {"method": "forward", "method_output_name": _STATES if pooled else "logits"}},
            "module_output_name": "token_embeddings" if pooled else "scores",
        },
        tokenizer={"model_max_length": tokenizer.max_length},
    )
    if isinstance(backbone, PooledClassifier):
        _score_modules.write(folders[1:], backbone)


def _modules(source: str) -> SavedModules | None:
    """The modules of a folder, if those of a cross-encoder, and all of a kind that is read here."""
    saved = _saved_modules.read(source)
    if saved is None:
        return None
    if "LogitScore" in saved.names or saved.task == "text-generation":
        raise InputError(f"{source} scores by a decoder's answer (LogitScore): load it with CausalReranker")
    if saved.chats:
        raise InputError(f"{source} makes texts of pairs by a chat template: load it with CausalReranker")
    outputs = {_CLASSIFIES: "logits", "feature-extraction": _STATES}
    if saved.output not in (None, outputs.get(saved.task, "")):
        raise InputError(f"{source} has a Transformer ({saved.task}) that gives {saved.output}, which is not read")
    if saved.names != ("Transformer",) and not _is_pooled(saved):
        raise InputError(
            f"{source} has the modules {', '.join(saved.names)} for {saved.task}: read are a classifier alone, or "
            "Transformer, Pooling, then Dense, LayerNorm or Dropout"
        )
    return saved


def _is_pooled(saved: SavedModules | None) -> bool:
    """Transformer, Pooling, then layers?"""
    if saved is None or saved.task != "feature-extraction" or saved.names[1:2] != ("Pooling",):
        return False
    return len(saved.names) > 2 and set(saved.names[2:]) <= {"Dense", "LayerNorm", "Dropout"}


def _check_classifier(source: str) -> None:
    config = _folder.read_json(_folder.fetch(source, _folder.CONFIG))
    labels = config.get("num_labels") or len(config.get("id2label") or {0: "", 1: ""})
    if labels != 1:
        raise InputError(f"{source} classifies into {labels} labels: a cross-encoder is a classifier of one")
    modules = [each["type"] for each in _folder.read_modules(source)]
    beyond = [name.rpartition(".")[2] for name in modules if not name.endswith("Transformer")]
    if beyond:
        raise InputError(f"{source} has the module {beyond[0]} after its classifier: only the classifier is read")


def _remember(backbone: nn.Module, source: str) -> None:
    """Note in the configuration what sentence-transformers makes of the logits, so that it is written again."""
    settings = _folder.read_json(_folder.fetch(source, _saved_modules.CONFIG))
    noted = _saved_modules.kept(settings)
    if settings.get("model_type") != "CrossEncoder":
        # The prompts of another kind of model are not this one's.
        noted = {key: value for key, value in noted.items() if key == "activation_fn"}
    if noted:
        backbone.config.sentence_transformers = noted  # type: ignore[union-attr]
