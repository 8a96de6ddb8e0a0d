"""Collections, their judgements and runs, and the batches made of them.

``ListDataModule`` needs Lightning and is imported from ``rankgrad.data.datamodule`` on first use.
"""

from typing import TYPE_CHECKING, Any

from rankgrad.data.beir import read_beir
from rankgrad.data.collate import LateInteractionFeatures, ListBatch, ListCollate, PairFeatures, TextTokens
from rankgrad.data.epoch_loader import EpochLoader
from rankgrad.data.jsonl import read_lists, read_teacher_scores, read_triples
from rankgrad.data.pydoc import pydoc_collection
from rankgrad.data.records import CandidateList, Collection, Qrels, Run, Task, Texts
from rankgrad.data.sources import BEIR, CandidateMiner, CollectionSource, ListsFile, ListSource, Pydoc
from rankgrad.data.splits import hold_out
from rankgrad.data.training_lists import DrawnLists, ReadyLists, ranked_lists
from rankgrad.data.trec import read_qrels, read_run, write_qrels, write_run

if TYPE_CHECKING:
    from rankgrad.data.datamodule import ListDataModule

__all__ = [
    "BEIR",
    "CandidateList",
    "CandidateMiner",
    "Collection",
    "CollectionSource",
    "DrawnLists",
    "EpochLoader",
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
    "Task",
    "TextTokens",
    "Texts",
    "hold_out",
    "pydoc_collection",
    "ranked_lists",
    "read_beir",
    "read_lists",
    "read_qrels",
    "read_run",
    "read_teacher_scores",
    "read_triples",
    "write_qrels",
    "write_run",
]


def __getattr__(name: str) -> Any:
    if name == "ListDataModule":
        from rankgrad.data.datamodule import ListDataModule

        return ListDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
