"""A training checkpoint of a feature ranker, or of a cascade of them, as the model that was trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankgrad._checks import InputError, require

if TYPE_CHECKING:
    from rankgrad.models import FeatureRanker
    from rankgrad.pipeline import FeatureCascade

_CONFIG = "config.yaml"
_MODEL = "model."


def is_checkpoint(path: Path) -> bool:
    """Is this a file of a run's ``checkpoints/``?"""
    return path.suffix == ".ckpt" and path.is_file()


def load_checkpoint(path: Path) -> FeatureRanker | FeatureCascade:
    """Make the model that the run's ``config.yaml`` describes, with the weights of one of its checkpoints.

    Raises:
        InputError: for a checkpoint of another model, without its run, or damaged.
        MissingExtraError: without pytorch_lightning.
    """
    require("pytorch_lightning", "train")
    from rankgrad.models import FeatureRanker, _folder
    from rankgrad.pipeline import FeatureCascade
    from rankgrad.training.checkpoints import read_checkpoint

    name, options = _described(path)
    if name == "rankgrad.pipeline.FeatureCascade":
        kind = FeatureCascade
    elif name == "rankgrad.models.FeatureRanker":
        kind = FeatureRanker
    else:
        raise InputError(
            f"{path} is a checkpoint of {name or 'no model that its config.yaml names'}: only those of feature rankers "
            "and their cascades are read; pass the run's best/"
        )
    state = read_checkpoint(path)["state_dict"]
    weights = {key.removeprefix(_MODEL): value for key, value in state.items() if key.startswith(_MODEL)}
    try:
        model = kind(**options)
    except TypeError as error:
        raise InputError(f"{_run_of(path) / _CONFIG} does not describe a {kind.__name__} ({error})") from error
    _folder.load_state(model, weights, path)
    return model.eval()


def _described(path: Path) -> tuple[str, dict[str, Any]]:
    """The import path of the model's class, and its arguments: a checkpoint holds weights alone."""
    import yaml

    config = _run_of(path) / _CONFIG
    if not config.is_file():
        raise InputError(f"{path} lies in no run ({config} is missing): pass a run's checkpoint, or its best/")
    try:
        said = yaml.safe_load(config.read_text(encoding="utf-8"))["model"]["model"]
        return said["class_path"], dict(said.get("init_args") or {})
    except (UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(f"{config} is no configuration of a run: pass the run's best/") from error


def _run_of(path: Path) -> Path:
    return path.resolve().parent.parent
