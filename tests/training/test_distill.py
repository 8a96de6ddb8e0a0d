from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, Collection, Task, Texts, read_teacher_scores
from rankgrad.data.collate import ListCollate
from rankgrad.data.datamodule import ListDataModule
from rankgrad.losses import KLDistillLoss, SoftmaxLoss
from rankgrad.models import ColBERT, CrossEncoder, DenseEncoder, SparseEncoder
from rankgrad.ops import maxsim
from rankgrad.tokens import LateInteractionRules
from rankgrad.training import Ranker, RunFolder, read_curves, teacher_run, teacher_scores, write_teacher_scores

LISTS = [
    CandidateList("sort the list", ("sort a list", "open a file", "a"), (1.0, 0.0, 0.0), (9.0, 9.0, 9.0)),
    CandidateList("open files", ("open a file and read its lines",), (1.0,), judged=(1.0, 1.0)),
    CandidateList("sort the list", ("join strings", "sort a list"), (0.0, 1.0)),
]


class Counting:
    """Scores a pair by its lengths, as numpy, like an exported model."""

    def score(self, queries, documents):
        return np.array([len(query) + 100 * len(document) for query, document in zip(queries, documents, strict=True)])


def colbert_scores(teacher: ColBERT, one: CandidateList) -> list[float]:
    queries, mask = teacher.encode_queries([one.query])
    scores = []
    for text in one.documents:
        packed = teacher.encode_documents([text])
        scores.append(maxsim(queries, packed.embeddings[None], mask).item())
    return scores


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@pytest.mark.parametrize("kind", ["cross-encoder", "colbert", "dense", "sparse", "scorer"])
def test_each_candidate_gets_the_teachers_score(
    tiny_encoder_folder: Path, tiny_mlm_folder: Path, kind: str, batch_size: int
) -> None:
    if kind == "cross-encoder":
        teacher = CrossEncoder.from_pretrained(tiny_encoder_folder, head="mean")
        expected = [teacher.score([one.query] * len(one.documents), one.documents).tolist() for one in LISTS]
    elif kind == "colbert":
        teacher = ColBERT.from_pretrained(tiny_encoder_folder)
        expected = [colbert_scores(teacher, one) for one in LISTS]
    elif kind in ("dense", "sparse"):
        made = {"dense": (DenseEncoder, tiny_encoder_folder), "sparse": (SparseEncoder, tiny_mlm_folder)}
        teacher = made[kind][0].from_pretrained(made[kind][1])
        expected = [teacher.score([one.query], teacher.encode_documents(one.documents))[0].tolist() for one in LISTS]
    else:
        teacher = Counting()
        expected = [[len(one.query) + 100 * len(text) for text in one.documents] for one in LISTS]
    taught = teacher_scores(LISTS, teacher, batch_size=batch_size, progress=False)
    for one, before, scores in zip(taught, LISTS, expected, strict=True):
        assert one.teacher_scores == pytest.approx(scores, abs=1e-5)
        assert (one.query, one.documents, one.labels, one.judged) == (
            before.query,
            before.documents,
            before.labels,
            before.judged,
        )


@pytest.mark.parametrize("training", [True, False])
def test_the_teacher_is_left_as_it_was(tiny_encoder_folder: Path, training: bool) -> None:
    teacher = CrossEncoder.from_pretrained(tiny_encoder_folder, head="mean").train(training)
    first = teacher_scores(LISTS, teacher, progress=False)
    assert first == teacher_scores(LISTS, teacher, progress=False), "no dropout while it teaches"
    assert teacher.training is training
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_progress_bar(capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    teacher_scores(LISTS, Counting(), batch_size=2)
    assert "scoring with the teacher: 100%" in capsys.readouterr().err


def test_scores_that_are_not_finite() -> None:
    class Broken:
        def score(self, queries, documents):
            return torch.full((len(documents),), float("-inf"))

    with pytest.raises(InputError, match="query 'sort the list' are not all finite"):
        teacher_scores(LISTS, Broken(), progress=False)


LONG = [
    CandidateList("sort the list", (f"a {word} " * 400, f"open {word}"), (1.0, 0.0))
    for word in ("sort", "file", "join", "date")
]


def test_pairs_that_a_teacher_cannot_read_to_their_end_are_said_once(tiny_encoder_folder: Path) -> None:
    teacher = CrossEncoder.from_pretrained(tiny_encoder_folder, head="mean", max_length=1000)
    with pytest.warns(UserWarning, match="were cut") as said:
        teacher_scores(LONG, teacher, batch_size=2, progress=False)
    assert [str(one.message) for one in said] == [
        "2 of 4 pairs were cut at the encoder's 512 positions; max_length=1000 asks for more"
    ]
    assert teacher.tokenizer.cut["document"] == 4
    quiet = CrossEncoder.from_pretrained(tiny_encoder_folder, head="mean", max_length=32, query_length=8)
    teacher_scores(LONG, quiet, progress=False)  # cut as asked: warnings are errors here


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["cross-encoder", "colbert"])
def test_texts_that_training_cuts_at_the_encoders_positions_are_said_once(
    tiny_encoder_folder: Path, kind: str, workers: int, capfd, monkeypatch
) -> None:
    if kind == "colbert":
        rules = LateInteractionRules(document_length=1000)
        model = ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=16)
    else:
        model = CrossEncoder.from_pretrained(tiny_encoder_folder, head="mean", max_length=1000)
    data = ListDataModule(type("Long", (), {"lists": lambda self, split: LONG})(), batch_size=2, workers=workers)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "num_sanity_val_steps": 0}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=2, enable_model_summary=False, **quiet)
    # As without pytest, which keeps warnings in a list, those of a worker in the worker's.
    monkeypatch.setattr(warnings, "showwarning", lambda message, *rest: os.write(2, f"{message}\n".encode()))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        trainer.fit(Ranker(model, SoftmaxLoss()), data)
    words = capfd.readouterr().err
    what = "2 of 4 document texts" if kind == "colbert" else "2 of 4 pairs"
    assert words.count(f"{what} were cut at the encoder's 512 positions") == 1
    assert words.count("were cut") == 1


def test_what_is_no_teacher() -> None:
    with pytest.raises(TypeError, match=r"a model with a tokenizer or an object with score\(\), got Linear"):
        teacher_scores(LISTS, torch.nn.Linear(2, 1), progress=False)


def test_scores_of_all_that_can_be_drawn(tmp_path: Path) -> None:
    documents = Texts(("d1", "d2", "d3"), ("sort a list", "open", "close"))
    queries = Texts(("q1", "q2"), ("sort", "open file"))
    task = Task("t", documents, queries, {"q1": {"d1": 1, "d2": 0}, "q2": {"d2": 2}})
    candidates = {"q1": {"d3": 2.0, "d1": 1.0}, "q2": {}}
    scores = teacher_run(task, candidates, Counting(), progress=False)
    assert scores == {"q1": {"d1": 1104.0, "d3": 504.0}, "q2": {"d2": 409.0}}
    write_teacher_scores(scores, tmp_path / "scores.jsonl")
    assert read_teacher_scores(tmp_path / "scores.jsonl") == scores
    data = ListDataModule(
        Collection("c", documents, queries, {"train": task.qrels}),
        candidates=candidates,
        teacher_scores=str(tmp_path / "scores.jsonl"),
        validation_split=None,
    )
    with pytest.warns(UserWarning, match="1 of 2 queries have no irrelevant document"):
        data.prepare_lists()
    drawn = [data.train_lists[0, index] for index in range(2)]
    assert [one.teacher_scores for one in drawn] == [(1104.0, 504.0), (409.0,)]


def test_one_model_teaches_another(train, lists, tiny_encoder_folder: Path, tmp_path: Path, monkeypatch) -> None:
    teacher = ColBERT.from_pretrained(tiny_encoder_folder)
    source = type(
        "Taught", (), {"lists": lambda self, split: teacher_scores(lists.lists(split), teacher, progress=False)}
    )
    monkeypatch.setattr(Ranker, "on_fit_start", lambda self: setattr(self, "loss", KLDistillLoss()) or self.train())
    run = RunFolder(tmp_path, tensorboard=False)
    trainer = train(run, source=source(), max_epochs=8, ranker={"target": "teacher_scores", "learning_rate": 3e-3})
    losses = [float(row["train/loss"]) for row in read_curves(run.curves) if "train/loss" in row]
    assert sum(losses[-6:]) < sum(losses[:6])
    student = trainer.lightning_module.model.eval()
    taught = source().lists("train")
    scores = student(ListCollate(student.tokenizer)(taught).features)
    wanted = torch.tensor([one.teacher_scores for one in taught])
    agreement = torch.nn.functional.cosine_similarity(scores - scores.mean(1, True), wanted - wanted.mean(1, True))
    assert agreement.mean() > 0.5
