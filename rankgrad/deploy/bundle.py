"""Opening a bundle: what it says of itself, and the model it holds."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rankgrad._checks import InputError, require
from rankgrad.deploy.feature_ranker import FeatureRanker
from rankgrad.deploy.graph import Graph
from rankgrad.deploy.text_model import QUERY_WEIGHTS, TextModel, read_query_weights, text_model
from rankgrad.deploy.text_settings import (
    NUMBER,
    OPTIONS,
    TEXT,
    TEXT_KINDS,
    TEXTS,
    TOKENIZER_SETTINGS,
    TRUTH,
    Expected,
    or_null,
    whole,
)
from rankgrad.types import VARIANTS, Variant

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

MARKER = "rankgrad.json"
FORMAT_VERSION = 1
TOKENIZER = "tokenizer.json"
FEATURE_RANKER = "feature_ranker"
_AGAIN = "copy or export the bundle again"

_FINGERPRINT = {"bytes": whole(0, 2**63 - 1), "sha256": TEXT}
_GRAPH_FILE = {"file": TEXT, **_FINGERPRINT}
# An object of any keys has what each holds under "*"; keys that are not named here hold what they like.
_SETTINGS: dict[str, Any] = {
    "dim": whole(1),
    "opset": whole(0),
    "graphs": {"*": {**_GRAPH_FILE, "data": _GRAPH_FILE, "fit": TRUTH}},
    "files": {"*": _FINGERPRINT},
    "features": {"count": whole(1), "names": or_null(TEXTS), "listwise": TRUTH},
    "samples": {"tolerance": NUMBER, "rank_agreement": NUMBER, "difference": {"*": NUMBER}, "agreement": {"*": NUMBER}},
}
_MAY_BE_NULL = ("files", "samples")


class Settings(NamedTuple):
    """What ``rankgrad.json`` says that loading needs.

    ``kind`` is ``feature_ranker`` or one of :data:`rankgrad.deploy.text_settings.TEXT_KINDS`; ``graphs`` has for each
    variant the file, its size in bytes and its SHA-256, and in ``data`` those of its weights where these lie in a file
    of their own. Of a model of texts ``tokenizer`` has the settings, ``dim`` the
    width of what the graph gives, 1 for scores, and ``options`` what only its kind has. Of a feature ranker
    ``features`` has their ``count`` and ``names``, and whether it is ``listwise``. ``files`` has size and SHA-256 of
    the files beside the graphs, ``samples`` a few inputs with torch's scores; both are None in a bundle that was made
    before they were recorded, ``opset`` is 0 there.
    """

    kind: str
    graphs: dict[str, dict[str, Any]]
    tokenizer: dict[str, Any] = {}  # noqa: RUF012
    dim: int = 1
    features: dict[str, Any] = {}  # noqa: RUF012
    files: dict[str, dict[str, Any]] | None = None
    samples: dict[str, Any] | None = None
    opset: int = 0
    options: dict[str, Any] = {}  # noqa: RUF012


def load(folder: str | Path, *, variant: Variant = "fp32", threads: int | None = None) -> TextModel | FeatureRanker:
    """Open a bundle that ``rankgrad.export.export_bundle`` wrote.

    Args:
        folder: the bundle.
        variant: ``fp32`` agrees with torch to the tolerance on the bundle's card, and so does ``optimized``; the
            others (``int8``, ``int8-static``, ``fp16``, ``int4``) are smaller, and differ as the card says. ``int8``
            runs one row at a time: its activations are quantised over a whole run, and a score would else depend on the
            other rows. On one thread of a CPU that costs nothing at 130 tokens a text, and half the speed at 17;
            ``score`` and ``encode_documents`` take a larger ``batch_size``. ``fp16`` is for GPUs and slow here.
        threads: threads of one run; None takes every core this process may use.

    Raises:
        InputError: for a folder that is missing, is no bundle, is of another format version, lacks the variant, or
            holds a damaged file.
        MissingExtraError: without onnxruntime or tokenizers.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    graph = settings.graphs.get(variant)
    if graph is None:
        there = ", ".join(settings.graphs)
        makes = settings.kind != FEATURE_RANKER and variant in VARIANTS
        more = f", or export again with variants=({variant!r},)" if makes else ""
        raise InputError(f"{folder} has no variant {variant!r}: choose one of {there}{more}")
    for name, recorded in graph_files(graph).items():
        check_file(folder / name, recorded)
    path = folder / graph["file"]
    if settings.kind == FEATURE_RANKER:
        about = settings.features
        return FeatureRanker(
            Graph(path, threads=threads), features=about["count"], names=about["names"], listwise=about["listwise"]
        )
    tokenizer = _read_tokenizer(folder / TOKENIZER)
    if settings.files is not None and TOKENIZER in settings.files:
        check_file(folder / TOKENIZER, settings.files[TOKENIZER])
    runner = Graph(path, threads=threads, batch_size=1 if variant == "int8" else None)
    options = dict(settings.options)
    if options.pop("lookup", False):
        options["query_weights"] = _query_weights(folder, settings, tokenizer)
    try:
        return text_model(settings.kind, runner, tokenizer, settings.tokenizer, dim=settings.dim, options=options)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / MARKER}: its settings cannot be used ({error}): {_AGAIN}") from error


def read_settings(folder: str | Path) -> Settings:
    """Read and check ``rankgrad.json``.

    Raises:
        InputError: as :func:`load`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        problem = "is no folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {problem}: pass a bundle that rankgrad export wrote")
    path = folder / MARKER
    if not path.is_file():
        raise InputError(f"{folder} is no bundle (it has no {MARKER}): make one with rankgrad export")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of what is no UTF-8, no JSON, too long a number, or nested too deep
        raise InputError(f"{path}:{getattr(error, 'lineno', 1)}: no valid JSON: {_AGAIN}") from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path}: format_version {version!r}, this rankgrad reads {FORMAT_VERSION}: export again, or install the "
            "rankgrad that wrote it"
        )
    try:
        of_kind = ("features",) if content["kind"] == FEATURE_RANKER else ("tokenizer", "dim")
        recorded = {name: content[name] for name in ("files", "samples", "opset", "options") if name in content}
        settings = Settings(**{name: content[name] for name in ("kind", "graphs", *of_kind)}, **recorded)
    except KeyError as error:
        raise InputError(f"{path} lacks {error}: {_AGAIN}") from error
    known = settings.kind in (*TEXT_KINDS, FEATURE_RANKER)
    if known:
        own = {"tokenizer": TOKENIZER_SETTINGS.get(settings.kind, {}), "options": OPTIONS.get(settings.kind, {})}
        given = {name: each for name, each in content.items() if each is not None or name not in _MAY_BE_NULL}
        if misfit := _misfit(given, {**_SETTINGS, **own}):
            raise InputError(f"{path}: {misfit}: {_AGAIN}")
    if not known or not _is_complete(settings):
        raise InputError(f"{path}: kind {settings.kind!r} or an entry of graphs is not understood: {_AGAIN}")
    return settings


def _misfit(value: Any, expected: Expected | Mapping[str, Any], key: str = "") -> str:
    """The first key whose value is not what is expected of it, and what that is; nothing where all are."""
    if isinstance(expected, Expected):
        return "" if expected.fits(value) else f"{key} is {reprlib.repr(value)}, expected {expected.what}"
    if not isinstance(value, dict):
        return f"{key} is {reprlib.repr(value)}, expected an object"
    parts = dict.fromkeys(value, expected["*"]) if "*" in expected else expected
    found = (
        _misfit(value[name], part, f"{key}.{name}" if key else name) for name, part in parts.items() if name in value
    )
    return next(filter(None, found), "")


def _is_complete(settings: Settings) -> bool:
    """Has every entry what loading needs of it?"""
    parts = [part for graph in settings.graphs.values() for part in (graph, graph.get("data", graph))]
    complete = all(_GRAPH_FILE.keys() <= part.keys() for part in parts)
    complete &= all(_FINGERPRINT.keys() <= file.keys() for file in (settings.files or {}).values())
    if settings.kind == FEATURE_RANKER:
        complete &= {"count", "names", "listwise"} <= settings.features.keys()
    return complete


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def graph_files(graph: Mapping[str, Any]) -> dict[str, Any]:
    """What is recorded of a graph's file, and of that of its weights where they lie apart, by name."""
    return {part["file"]: part for part in (graph, graph.get("data", graph))}


def check_file(path: Path, recorded: dict[str, Any]) -> None:
    """Compare a file with its recorded size and SHA-256.

    Raises:
        InputError: when it is missing, cut off or changed.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing: {_AGAIN}")
    size = path.stat().st_size
    if size != recorded["bytes"]:
        what = "cut off" if size < recorded["bytes"] else "changed"
        raise InputError(f"{path} has {size} bytes instead of {recorded['bytes']}: it is {what}; {_AGAIN}")
    if fingerprint(path)["sha256"] != recorded["sha256"]:
        raise InputError(f"{path} is damaged (its SHA-256 is not the recorded one): {_AGAIN}")


def _query_weights(folder: Path, settings: Settings, tokenizer: Tokenizer) -> np.ndarray:
    path = folder / QUERY_WEIGHTS
    if settings.files is not None and QUERY_WEIGHTS in settings.files:
        check_file(path, settings.files[QUERY_WEIGHTS])
    try:
        # A sparse encoder's graph gives a weight for each word, also for those that only fill the vocabulary up.
        width = settings.dim if settings.kind == "sparse_encoder" else tokenizer.get_vocab_size()
        return read_query_weights(path, tokenizer, width)
    except (OSError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be read as weights of tokens ({error}): {_AGAIN}") from error


def _read_tokenizer(path: Path) -> Tokenizer:
    tokenizers = require("tokenizers", "serve")
    if not path.is_file():
        raise InputError(f"{path} is missing: {_AGAIN}")
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises Exception itself
        raise InputError(f"{path} is damaged ({str(error)[:200]}): {_AGAIN}") from error
