"""The first stages that an experiment's file may name, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast, get_args

from rankgrad._checks import InputError
from rankgrad.cli._experiment_file import Part
from rankgrad.cli._fusion_methods import FusionSettings, read_fusion
from rankgrad.types import VARIANTS, Variant

if TYPE_CHECKING:
    from rankgrad.retrieve import Method, Smoothing
    from rankgrad.retrieve._token_store import CodecName

KINDS = ("bm25", "tfidf", "query_likelihood", "dense", "sparse", "colbert", "index", "run", "fusion")

Places: TypeAlias = tuple[tuple[str, Path], ...]
"""A path for each collection, by its name; one alone has the name ``""``."""
Named: TypeAlias = tuple[tuple[str, float], ...]


class BM25Settings(NamedTuple):
    """As in :class:`rankgrad.retrieve.BM25`."""

    method: Method = "lucene"
    k1: float = 1.2
    b: float = 0.75
    delta: float | None = None


class TFIDFSettings(NamedTuple):
    """As in :class:`rankgrad.retrieve.TFIDF`."""

    sublinear: bool
    normalize: bool


class QueryLikelihoodSettings(NamedTuple):
    """As in :class:`rankgrad.retrieve.QueryLikelihood`."""

    smoothing: Smoothing
    mu: float
    collection_weight: float


class DenseSettings(NamedTuple):
    """A dense encoder, a variant of its bundle, and a FAISS factory string (None = exact) with search parameters."""

    model: Path
    variant: Variant | None
    faiss: str | None
    faiss_search: Named


class SparseSettings(NamedTuple):
    """A sparse encoder, and a variant of its bundle."""

    model: Path
    variant: Variant | None


class ColBERTSettings(NamedTuple):
    """A ColBERT, and the options of ``rankgrad index`` and ``rankgrad search``."""

    model: Path
    variant: Variant | None
    codec: CodecName
    exact: bool
    repetitions: int
    partition_bits: int
    projection_dim: int
    final_dim: int | None
    faiss: str | None
    faiss_search: Named
    candidates: int
    seed: int


class IndexSettings(NamedTuple):
    """What ``rankgrad index`` wrote of each collection, and the model where it has moved."""

    index: Places
    encoder: Path | None
    variant: Variant | None
    candidates: int


class RunSettings(NamedTuple):
    """A run in TREC's format of each collection."""

    run: Places


class FusedSettings(NamedTuple):
    """Several first stages, how many documents each gives (None = as many as are asked for), and what fuses them."""

    of: tuple[FirstStageSettings, ...]
    depth: int | None
    fusion: FusionSettings


FirstStageSettings: TypeAlias = (
    BM25Settings
    | TFIDFSettings
    | QueryLikelihoodSettings
    | DenseSettings
    | SparseSettings
    | ColBERTSettings
    | IndexSettings
    | RunSettings
    | FusedSettings
)


def read_first_stage(part: Part) -> FirstStageSettings:
    """What a part of the file says.

    Raises:
        InputError: for another kind, a key that the kind does not have, or a value of the wrong type.
    """
    from rankgrad.retrieve import Method, Smoothing

    match part.choice("kind", KINDS):
        case "bm25":
            part.only("kind", "method", "k1", "b", "delta")
            delta = part.real("delta", 0.0) if part.has("delta") else None
            method = cast("Method", part.choice("method", get_args(Method), "lucene"))
            return BM25Settings(method, part.real("k1", 1.2), part.real("b", 0.75), delta)
        case "tfidf":
            part.only("kind", "sublinear", "normalize")
            return TFIDFSettings(part.flag("sublinear", False), part.flag("normalize", True))
        case "query_likelihood":
            part.only("kind", "smoothing", "mu", "collection_weight")
            smoothing = cast("Smoothing", part.choice("smoothing", get_args(Smoothing), "dirichlet"))
            return QueryLikelihoodSettings(smoothing, part.real("mu", 1000.0), part.real("collection_weight", 0.1))
        case "dense":
            part.only("kind", "model", "variant", "faiss", "faiss_search")
            return DenseSettings(*_model(part), *_faiss(part))
        case "sparse":
            part.only("kind", "model", "variant")
            return SparseSettings(*_model(part))
        case "colbert":
            return _colbert(part)
        case "index":
            part.only("kind", "index", "encoder", "variant", "candidates")
            encoder = Path(part.text("encoder")) if part.has("encoder") else None
            return IndexSettings(_places(part, "index"), encoder, read_variant(part), part.number("candidates", 500))
        case "run":
            part.only("kind", "run")
            return RunSettings(_places(part, "run"))
        case _:
            part.only("kind", "of", "depth", "method", "weights", "k", "persistence", "normalise")
            stages = tuple(map(read_first_stage, part.kinds("of")))
            if len(stages) < 2:
                raise InputError(f"{part.where}: of: one first stage is fused already: name at least two")
            depth = part.number("depth") if part.has("depth") else None
            return FusedSettings(stages, depth, read_fusion(part, len(stages)))


def read_variant(part: Part) -> Variant | None:
    """Which graph of a bundle; None where nothing is said.

    Raises:
        InputError: for one that does not exist.
    """
    return cast("Variant", part.choice("variant", VARIANTS)) if part.has("variant") else None


def _model(part: Part) -> tuple[Path, Variant | None]:
    return Path(part.text("model")), read_variant(part)


def _faiss(part: Part) -> tuple[str | None, Named]:
    factory, search = part.text("faiss") if part.has("faiss") else None, part.named_reals("faiss_search")
    if search and factory is None:
        raise InputError(f"{part.where}: faiss_search says nothing without faiss: add it, or leave this out")
    return factory, search


def _colbert(part: Part) -> ColBERTSettings:
    from rankgrad.retrieve._token_store import CODECS

    encodings = ("repetitions", "partition_bits", "projection_dim", "final_dim", "faiss", "faiss_search", "candidates")
    part.only("kind", "model", "variant", "codec", "exact", *encodings, "seed")
    exact = part.flag("exact", False)
    unused = [key for key in encodings if part.has(key)]
    if exact and unused:
        raise InputError(f"{part.where}: {unused[0]} is of the encodings that exact leaves out: drop one of them")
    model, variant = _model(part)
    factory, search = _faiss(part)
    return ColBERTSettings(
        model,
        variant,
        cast("CodecName", part.choice("codec", CODECS, "fp16")),
        exact,
        part.number("repetitions", 20),
        part.number("partition_bits", 4, least=0),
        part.number("projection_dim", 16),
        part.number("final_dim") if part.has("final_dim") else None,
        factory,
        search,
        part.number("candidates", 500),
        part.number("seed", 0, least=0),
    )


def _places(part: Part, key: str) -> Places:
    said = part.named_texts(key)
    named = {"": said} if isinstance(said, str) else said
    return tuple((name, Path(path)) for name, path in named.items())
