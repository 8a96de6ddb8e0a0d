"""The first stages that an experiment's file names, over the documents of one collection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from rankgrad import __version__
from rankgrad._checks import InputError
from rankgrad.cli import _experiment_first_stage as kinds
from rankgrad.cli._experiment_models import Models
from rankgrad.cli._first_stage import encoder_of, open_index, variant_of
from rankgrad.cli._fusion_methods import fusion_of
from rankgrad.cli._muvera import muvera_of
from rankgrad.cli._run_stage import RunStage
from rankgrad.data import Task
from rankgrad.evaluation import cached_stage
from rankgrad.retrieve import (
    BM25,
    TFIDF,
    DenseRetriever,
    LateInteractionRetriever,
    QueryLikelihood,
    SparseRetriever,
)
from rankgrad.types import Fusion, Queries, Ranking

Stage = TypeVar("Stage")


class FusedStage(nn.Module):
    """Several first stages, and one ranking of theirs.

    Args:
        stages: over one collection.
        fuse: makes one ranking of several.
        depth: documents that each gives; None = as many as are asked for.
        documents: of the collection.
    """

    def __init__(self, stages: list[nn.Module], fuse: Fusion, *, depth: int | None, documents: int) -> None:
        super().__init__()
        self.stages, self.fuse = nn.ModuleList(stages), fuse
        self.depth, self.documents = depth, documents

    def forward(self, queries: Queries, k: int) -> Ranking:
        """Rank the ``k`` best documents of each query, or as many as the stages find together."""
        depth = min(self.depth or k, self.documents)
        fused = self.fuse([stage(queries, depth) for stage in self.stages])
        return Ranking(*(field[:, :k] for field in fused))


class Retrievers:
    """Builds first stages over one task; equal ones are built once.

    Args:
        task: whose documents are searched.
        name: of its collection in the file, and with its split.
        models: opened before.
        cache: a folder for encoded collections; None keeps nothing.
    """

    def __init__(self, task: Task, name: tuple[str, str], models: Models, cache: Path | None) -> None:
        self.task, self.name, self.models, self.cache = task, name, models, cache
        self._made: dict[kinds.FirstStageSettings, nn.Module] = {}

    def __call__(self, settings: kinds.FirstStageSettings) -> nn.Module:
        """The first stage.

        Raises:
            InputError, FileNotFoundError: for what cannot be opened, or values out of range.
        """
        if settings not in self._made:
            self._made[settings] = self._make(settings)
        return self._made[settings]

    def _make(self, settings: kinds.FirstStageSettings) -> nn.Module:
        texts = self.task.documents.texts
        match settings:
            case kinds.BM25Settings():
                return BM25(texts, **settings._asdict())
            case kinds.TFIDFSettings():
                return TFIDF(texts, **settings._asdict())
            case kinds.QueryLikelihoodSettings():
                return QueryLikelihood(texts, **settings._asdict())
            case kinds.DenseSettings():
                return self._dense(settings)
            case kinds.SparseSettings():
                encoder = self.models.sparse(settings.model, settings.variant)
                return self._kept(
                    settings,
                    # Queries may hold terms that no document holds.
                    make=lambda: SparseRetriever(encoder, texts, width=encoder.width),
                    save=SparseRetriever.save,
                    load=lambda folder: SparseRetriever.load(folder, encoder),
                )
            case kinds.ColBERTSettings():
                return self._colbert(settings)
            case kinds.IndexSettings():
                return self._index(settings)
            case kinds.RunSettings():
                return RunStage(place_of(settings.run, self.name), self.task)
            case kinds.FusedSettings():
                stages, fuse = [self(stage) for stage in settings.of], fusion_of(settings.fusion)
                return FusedStage(stages, fuse, depth=settings.depth, documents=len(texts))

    def _dense(self, settings: kinds.DenseSettings) -> DenseRetriever:
        encoder, texts = self.models.dense(settings.model, settings.variant), self.task.documents.texts
        search = dict(settings.faiss_search)
        return self._kept(
            settings._replace(faiss_search=()),
            make=lambda: DenseRetriever(encoder, texts, faiss=settings.faiss, faiss_search=search).index(),
            save=DenseRetriever.save,
            load=lambda folder: DenseRetriever.load(folder, encoder, texts, faiss_search=search),
        )

    def _colbert(self, settings: kinds.ColBERTSettings) -> LateInteractionRetriever:
        model = self.models.colbert(settings.model, settings.variant)
        made = LateInteractionRetriever(
            model,
            self.task.documents.texts,
            codec=settings.codec,
            muvera=None if settings.exact else muvera_of(settings, model.encode_queries(["width"])[0].shape[-1]),
            candidates=settings.candidates,
            factory=settings.faiss,
            faiss_search=dict(settings.faiss_search),
            seed=settings.seed,
        )
        return self._kept(
            settings._replace(faiss_search=(), candidates=0),
            make=lambda: made.index(progress=True),
            save=LateInteractionRetriever.save_index,
            load=made.load_index,
        )

    def _index(self, settings: kinds.IndexSettings) -> LateInteractionRetriever:
        folder = place_of(settings.index, self.name)
        encoder = encoder_of(folder, settings.encoder)
        model = self.models.colbert(encoder, variant_of(folder, encoder, settings.variant))
        retriever, names = open_index(folder, model, candidates=settings.candidates)
        documents = self.task.documents
        if names != documents.ids or retriever.texts != documents.texts:
            raise InputError(
                f"{folder} indexes other documents than those of {self.task.name}: make it again with `rankgrad index`"
            )
        return retriever

    def _kept(
        self,
        settings: kinds.DenseSettings | kinds.SparseSettings | kinds.ColBERTSettings,
        *,
        make: Callable[[], Stage],
        save: Callable[[Stage, Path], None],
        load: Callable[[Path], Stage],
    ) -> Stage:
        if self.cache is None:
            return make()
        said: dict[str, Any] = {"rankgrad": __version__} | fingerprint(settings, self.models)
        texts = self.task.documents.texts
        return cached_stage(self.cache / "indexes", settings=said, texts=texts, make=make, save=save, load=load)


def place_of(places: kinds.Places, name: tuple[str, str]) -> Path:
    """The path that is meant for a collection: with its split, without, or the only one."""
    known = dict(places)
    return next(known[key] for key in (*reversed(name), "") if key in known)


def fingerprint(settings: kinds.FirstStageSettings, models: Models) -> dict[str, Any]:
    """All that the answers of a first stage depend on beside the texts, with digests of the files that it names."""
    kind, values = type(settings).__name__, settings._asdict()
    match settings:
        case kinds.DenseSettings() | kinds.SparseSettings() | kinds.ColBERTSettings():
            values |= {"model": models.digest(settings.model)}
        case kinds.IndexSettings():
            paths = [path for _, path in settings.index]
            values |= {
                "index": [(name, models.digest(path)) for name, path in settings.index],
                "encoder": [models.digest(encoder_of(path, settings.encoder)) for path in paths],
            }
        case kinds.RunSettings():
            values |= {"run": [(name, models.digest(path)) for name, path in settings.run]}
        case kinds.FusedSettings():
            values |= {"of": [fingerprint(stage, models) for stage in settings.of]}
    return {"kind": kind} | values
