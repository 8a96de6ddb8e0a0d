"""Collections, their judgements and runs, and the batches made of them.

``ListDataModule`` and ``FeatureListDataModule`` need Lightning and are imported on first use.
"""

from typing import TYPE_CHECKING, Any

from rankgrad.data.beir import read_beir
from rankgrad.data.clicks import cascade_clicks, click_probabilities, dependent_clicks, position_based_clicks
from rankgrad.data.collate import (
    ImageFeatures,
    LateInteractionFeatures,
    ListBatch,
    ListCollate,
    PairFeatures,
    TextTokens,
)
from rankgrad.data.corpus import read_corpus
from rankgrad.data.epoch_loader import EpochLoader
from rankgrad.data.feature_lists import FeatureBatch, FeatureLists, TableLists, collate_features
from rankgrad.data.hugging_face import HuggingFaceLists
from rankgrad.data.id_triples import read_id_triples
from rankgrad.data.image_files import ImagePath, read_image
from rankgrad.data.image_reader import ImageReader
from rankgrad.data.ir_data import IRDatasets, ScoredDocuments
from rankgrad.data.jsonl import read_lists, read_teacher_scores, read_triples
from rankgrad.data.judged_lists import JudgedLists, judged_lists
from rankgrad.data.letor import FeatureTable, read_letor
from rankgrad.data.position_bias import examinations_by_em, examinations_by_interventions, inverse_propensities
from rankgrad.data.pydoc import pydoc_collection
from rankgrad.data.records import CandidateList, Collection, Qrels, Run, Task, Texts
from rankgrad.data.sources import (
    BEIR,
    CandidateMiner,
    CollectionSource,
    IdTriplesFile,
    ListsFile,
    ListSource,
    Pydoc,
    StreamSource,
)
from rankgrad.data.splits import hold_out
from rankgrad.data.stream_loader import StreamLoader
from rankgrad.data.streaming import StreamedLists, stream_lists
from rankgrad.data.training_lists import DrawnLists, ReadyLists, ranked_lists
from rankgrad.data.trec import read_qrels, read_run, stream_run, write_qrels, write_run

if TYPE_CHECKING:
    from rankgrad.data.datamodule import ListDataModule
    from rankgrad.data.feature_datamodule import FeatureListDataModule

__all__ = [
    "BEIR",
    "CandidateList",
    "CandidateMiner",
    "Collection",
    "CollectionSource",
    "DrawnLists",
    "EpochLoader",
    "FeatureBatch",
    "FeatureListDataModule",
    "FeatureLists",
    "FeatureTable",
    "HuggingFaceLists",
    "IRDatasets",
    "IdTriplesFile",
    "ImageFeatures",
    "ImagePath",
    "ImageReader",
    "JudgedLists",
    "LateInteractionFeatures",
    "ListBatch",
    "ListCollate",
    "ListDataModule",
    "ListSource",
    "ListsFile",
    "PairFeatures",
    "Pydoc",
    "Qrels",
    "ReadyLists",
    "Run",
    "ScoredDocuments",
    "StreamLoader",
    "StreamSource",
    "StreamedLists",
    "TableLists",
    "Task",
    "TextTokens",
    "Texts",
    "cascade_clicks",
    "click_probabilities",
    "collate_features",
    "dependent_clicks",
    "examinations_by_em",
    "examinations_by_interventions",
    "hold_out",
    "inverse_propensities",
    "judged_lists",
    "position_based_clicks",
    "pydoc_collection",
    "ranked_lists",
    "read_beir",
    "read_corpus",
    "read_id_triples",
    "read_image",
    "read_letor",
    "read_lists",
    "read_qrels",
    "read_run",
    "read_teacher_scores",
    "read_triples",
    "stream_lists",
    "stream_run",
    "write_qrels",
    "write_run",
]


def __getattr__(name: str) -> Any:
    if name == "ListDataModule":
        from rankgrad.data.datamodule import ListDataModule

        return ListDataModule
    if name == "FeatureListDataModule":
        from rankgrad.data.feature_datamodule import FeatureListDataModule

        return FeatureListDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
