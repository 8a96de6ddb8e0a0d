"""The training that is killed: ``python -m benchmarks.resume_training FOLDER MODEL STEPS QUICK``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch

from benchmarks.random_model import source
from benchmarks.texts import documentation
from rankgrad.data import CandidateList
from rankgrad.data.datamodule import ListDataModule
from rankgrad.losses import InfoNCELoss
from rankgrad.models import ColBERT
from rankgrad.training import Ranker, RunFolder, quiet_lightning


class Texts:
    """Lists of a query and the document that answers it."""

    def __init__(self, *, quick: bool) -> None:
        self.task = documentation(quick=quick)

    def lists(self, split: str) -> list[CandidateList]:
        """The first queries to train on, the next to validate on."""
        ids = list(self.task.queries.ids)
        chosen = ids[:200] if split == "train" else ids[200:216]
        relevant = {query: next(iter(self.task.qrels[query])) for query in chosen}
        return [self._list(query, [relevant[query]]) for query in chosen]

    def _list(self, query: str, documents: list[str]) -> CandidateList:
        others = [name for name in list(self.task.documents.ids)[:3] if name not in documents]
        texts = tuple(self.task.documents.text(name) for name in [*documents, *others])
        return CandidateList(self.task.queries.text(query), texts, (1.0, *(0.0 for _ in others)))


def train(folder: Path, model: str, steps: int, *, quick: bool) -> None:
    """Train for so many steps, from the last checkpoint of the folder if there is one; with one thread, since sums of
    several may come in another order."""
    with quiet_lightning(), _one_thread():
        pl.seed_everything(0, verbose=False)
        run = RunFolder(folder, checkpoint_every=4, tensorboard=False)
        checkpoint = run.begin(resume=True)
        encoder = ColBERT.from_pretrained(source(model, folder.parent, quick=quick), dim=32)
        trainer = pl.Trainer(
            **run.trainer_arguments(),
            max_steps=steps,
            val_check_interval=5,
            check_val_every_n_epoch=None,
            accelerator="cpu",
            devices=1,
            deterministic=True,
            log_every_n_steps=1,
            gradient_clip_val=1.0,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        lists = ListDataModule(Texts(quick=quick), batch_size=4, in_batch_negatives=True, seed=0)
        path = None if checkpoint is None else str(checkpoint)
        trainer.fit(Ranker(encoder, InfoNCELoss(), learning_rate=1e-4), lists, ckpt_path=path, weights_only=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


if __name__ == "__main__":
    train(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), quick=sys.argv[4] == "1")
