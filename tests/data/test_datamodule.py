from __future__ import annotations

import json
import multiprocessing
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from jsonargparse import ArgumentParser
from pytorch_lightning import Callback, LightningModule, Trainer

from rankgrad._checks import InputError
from rankgrad.data import (
    BEIR,
    CandidateList,
    Collection,
    HuggingFaceLists,
    IdTriplesFile,
    ListBatch,
    ListDataModule,
    ListsFile,
    PairFeatures,
    Pydoc,
    Run,
    ScoredDocuments,
    Texts,
    write_run,
)
from rankgrad.tokens import PairTokenizer

NOTHING = Collection("nothing", Texts((), ()), Texts((), ()), {"train": {}})


class Recorder(LightningModule):
    """Writes down what each training batch holds."""

    def __init__(self, tokenizer: PairTokenizer) -> None:
        super().__init__()
        self.model = SimpleNamespace(tokenizer=tokenizer)
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[int]] = []
        self.validated: list[int] = []

    def training_step(self, batch: ListBatch) -> torch.Tensor:
        assert isinstance(batch.features, PairFeatures)
        self.seen.append([int(group.input_ids.sum()) for group in batch.features.groups])
        return self.weight * batch.labels.sum()

    def validation_step(self, batch: ListBatch) -> None:
        self.validated.append(len(batch.labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class KilledError(Exception):
    """Stands for the end of the process."""


class SaveAndDie(Callback):
    """Save a checkpoint in one of Lightning's hooks once so many batches are done, then stop everything."""

    def __init__(self, path: Path, hook: str, batches: int) -> None:
        self.path, self.batches = path, batches
        setattr(self, hook, self._save)

    def _save(self, trainer: Trainer, module: Recorder, *args: Any) -> None:
        if len(module.seen) == self.batches:
            trainer.save_checkpoint(self.path)
            raise KilledError


def fit(data: ListDataModule, tokenizer: PairTokenizer, *callbacks: Callback, **options: Any) -> Recorder:
    resume = options.pop("ckpt_path", None)
    module = Recorder(tokenizer)
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=list(callbacks),
        **options,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning|torch")
        with suppress(KilledError):
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=False)
    return module


def module_of(collection: Collection, candidates: Any, **options: Any) -> ListDataModule:
    settings: dict[str, Any] = {
        "negatives": 3,
        "batch_size": 4,
        "validation_batch_size": 4,
        "validation_depth": 6,
    } | options
    return ListDataModule(collection, candidates=candidates, **settings)


@pytest.mark.parametrize(
    ("hook", "batches", "options", "trainer"),
    [
        ("on_train_batch_end", 7, {}, {}),
        ("on_train_batch_end", 10, {}, {}),
        ("on_train_batch_end", 17, {}, {}),
        ("on_validation_end", 10, {}, {}),
        ("on_train_epoch_end", 20, {}, {}),
        ("on_train_batch_end", 7, {"workers": 2}, {}),
        ("on_train_batch_end", 14, {"workers": 2}, {}),
        ("on_train_batch_end", 3, {}, {"limit_train_batches": 5}),
        ("on_train_epoch_end", 5, {}, {"limit_train_batches": 5}),
        ("on_validation_end", 6, {}, {"val_check_interval": 3}),
    ],
)
def test_a_resumed_run_sees_the_batches_that_were_missing(
    small: Collection,
    candidates: Run,
    pair_tokenizer: PairTokenizer,
    tmp_path: Path,
    hook: str,
    batches: int,
    options: dict,
    trainer: dict,
) -> None:
    undisturbed = fit(module_of(small, candidates, **options), pair_tokenizer, **trainer).seen
    path = tmp_path / "last.ckpt"
    dies = SaveAndDie(path, hook, batches)
    before = fit(module_of(small, candidates, **options), pair_tokenizer, dies, **trainer).seen
    torch.manual_seed(12345)
    after = fit(module_of(small, candidates, **options), pair_tokenizer, ckpt_path=path, **trainer).seen
    assert len(undisturbed) == 3 * trainer.get("limit_train_batches", 10)
    assert len(set(map(str, undisturbed))) > 0.9 * len(undisturbed)
    assert before == undisturbed[:batches]
    assert after == undisturbed[batches:]


@pytest.mark.parametrize(("hook", "batches"), [("on_train_batch_end", 3), ("on_train_epoch_end", 10)])
def test_so_does_a_run_of_streamed_lists(
    pair_tokenizer: PairTokenizer, tmp_path: Path, hook: str, batches: int
) -> None:
    rows = [
        {"query": "open a file", "documents": ["read " * (number + 1)], "labels": [1], "teacher_scores": [0.5]}
        for number in range(20)
    ]
    (tmp_path / "lists.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def streamed() -> ListDataModule:
        source = ListsFile(tmp_path / "lists.jsonl", streaming=True, buffer=6)
        return ListDataModule(source, batch_size=4, validation_split=None)

    undisturbed = fit(streamed(), pair_tokenizer).seen
    before = fit(streamed(), pair_tokenizer, SaveAndDie(tmp_path / "last.ckpt", hook, batches)).seen
    after = fit(streamed(), pair_tokenizer, ckpt_path=tmp_path / "last.ckpt").seen
    assert len(undisturbed) == 15
    assert undisturbed[:5] != undisturbed[5:10]
    assert (before, after) == (undisturbed[:batches], undisturbed[batches:])


def test_workers_change_nothing(small: Collection, candidates: Run, pair_tokenizer: PairTokenizer) -> None:
    alone, helped = (fit(module_of(small, candidates, workers=n), pair_tokenizer) for n in (0, 2))
    assert alone.seen == helped.seen
    assert alone.validated == helped.validated == [4, 2] * 3
    assert multiprocessing.active_children() == []


def test_validation_lists_are_the_best_candidates(
    small: Collection, candidates: Run, pair_tokenizer: PairTokenizer
) -> None:
    data = module_of(small, candidates, tokenizer=pair_tokenizer, validation_depth=1, validation_queries=3)
    data.setup()
    batches = list(data.val_dataloader())
    assert len(batches) == 1
    batch = batches[0]
    assert isinstance(batch, ListBatch)
    assert batch.judged is not None
    assert batch.labels.tolist() == [[2.0]] * 3
    assert batch.judged.tolist() == [[2.0, 1.0]] * 3


def test_candidates_may_be_a_file_or_a_miner(small: Collection, candidates: Run, tmp_path: Path) -> None:
    write_run(tmp_path / "run", candidates)
    asked = []

    def miner(collection: Collection, split: str) -> Run:
        asked.append((collection.name, split))
        return {query: candidates[query] for query in collection.qrels[split]}

    made = [module_of(small, found) for found in (candidates, str(tmp_path / "run"), miner)]
    for data in made:
        data.prepare_lists()
        assert data.train_lists is not None
        assert data.validation_lists is not None
    lists = [[data.train_lists[1, index] for index in range(40)] for data in made if data.train_lists is not None]
    assert lists[0] == lists[1] == lists[2]
    assert asked == [("small", "train"), ("small", "validation")]


def test_ready_lists_are_taken_as_they_are(tmp_path: Path) -> None:
    lists = [CandidateList(f"q{row}", ("a", "b"), (0.0, 1.0)) for row in range(3)]
    rows = [{"query": one.query, "documents": one.documents, "labels": one.labels} for one in lists]
    (file := tmp_path / "lists.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = ListDataModule(ListsFile(file, validation=file))
    data.prepare_lists()
    for made in (data.train_lists, data.validation_lists):
        assert made is not None
        assert [made[5, row] for row in range(3)] == lists
    with pytest.raises(InputError, match="teacher_scores: ready lists hold their own"):
        ListDataModule(ListsFile(file), teacher_scores={}).prepare_lists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": None}, "candidates: validation needs them"),
        ({"train_split": "nothing"}, "no split 'nothing': choose one of train, validation"),
        ({"validation_split": "nothing"}, "no split 'nothing'"),
        ({"candidates": {"q0": {"d5": 1.0}}, "negatives": 0}, "none for any of the 6 queries of small/validation"),
        ({"validation_split": "train"}, "validation_split='train' is the training split"),
        ({"tokenizer": None}, "tokenizer: pass one"),
        ({"source": NOTHING, "validation_split": None}, "hold no judgement"),
        ({"in_batch_negatives": True, "teacher_scores": {}}, "in_batch_negatives=True with teacher_scores"),
    ],
)
def test_data_that_cannot_be_trained_on(
    small: Collection, candidates: Run, pair_tokenizer: PairTokenizer, options: dict, message: str
) -> None:
    settings: dict[str, Any] = {"source": small, "candidates": candidates, "tokenizer": pair_tokenizer} | options
    with pytest.raises(InputError, match=message):
        ListDataModule(**settings).setup()


def test_a_lists_file_without_validation_says_so(tmp_path: Path) -> None:
    (file := tmp_path / "lists.jsonl").write_text('{"query": "q", "documents": ["d"], "labels": [1]}')
    with pytest.raises(InputError, match="no file for split 'validation': there is one for train"):
        ListDataModule(ListsFile(file)).prepare_lists()


class Everything:
    """A miner that a configuration can name."""

    def __init__(self, size: int = 2) -> None:
        self.size = size

    def __call__(self, collection: Collection, split: str) -> Run:
        documents = collection.documents.ids[: self.size]
        return {query: dict.fromkeys(documents, 1.0) for query in collection.qrels[split]}


@pytest.mark.parametrize(
    ("source", "candidates", "types"),
    [
        ({"class_path": "rankgrad.data.Pydoc", "init_args": {"packages": ["json"]}}, None, (Pydoc, type(None))),
        ({"class_path": "rankgrad.data.BEIR", "init_args": {"folder": "x"}}, "found.trec", (BEIR, str)),
        (
            {"class_path": "rankgrad.data.ListsFile", "init_args": {"train": "x", "layout": "triples"}},
            {"class_path": f"{__name__}.Everything", "init_args": {"size": 5}},
            (ListsFile, Everything),
        ),
        (
            {
                "class_path": "rankgrad.data.IdTriplesFile",
                "init_args": {
                    "train": "x",
                    "collection": {"class_path": "rankgrad.data.IRDatasets", "init_args": {"splits": {"train": "a/b"}}},
                },
            },
            {"class_path": "rankgrad.data.ScoredDocuments", "init_args": {"splits": {"train": "a/b"}}},
            (IdTriplesFile, ScoredDocuments),
        ),
        (
            {
                "class_path": "rankgrad.data.HuggingFaceLists",
                "init_args": {"dataset": {"train": "a.parquet"}, "negatives": ["b", "c"], "streaming": True},
            },
            None,
            (HuggingFaceLists, type(None)),
        ),
    ],
)
def test_a_configuration_names_sources_and_miners(
    source: dict, candidates: object, types: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or SimpleNamespace(Everything=Everything))
    parser = ArgumentParser()
    parser.add_subclass_arguments(ListDataModule, "data")
    arguments = {"source": source, "candidates": candidates, "negatives": 2, "negative_ranks": [2, 50]}
    parsed = parser.parse_object({"data": {"class_path": "rankgrad.data.ListDataModule", "init_args": arguments}})
    data = cast(Any, parser.instantiate(parsed)).data
    assert isinstance(data, ListDataModule)
    assert (type(data.source), type(data.candidates)) == types
    assert tuple(data.negative_ranks) == (2, 50)
