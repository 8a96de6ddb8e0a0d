"""The folder of a training run: what lies where, and from where to go on."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from rankgrad._checks import InputError
from rankgrad._files import atomic_file
from rankgrad.training.callbacks import BestModel, Checkpoints
from rankgrad.training.checkpoints import SafeCheckpointIO, checkpoints_in, last_good_checkpoint
from rankgrad.training.curves import CurveLogger
from rankgrad.training.random_state import RandomState

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFolder:
    """A run's files: ``checkpoints/``, ``best/`` (for ``from_pretrained``), ``metrics.csv``, ``tensorboard/``.

    Args:
        path: the folder.
        checkpoint_every: optimizer steps between two checkpoints.
        keep: how many checkpoints stay.
        monitor: the logged value that decides which model is the best; higher is better.
        tensorboard: write curves for TensorBoard too.

    Example:
        >>> RunFolder(Path("runs/mine")).best.as_posix()
        'runs/mine/best'
    """

    path: Path
    checkpoint_every: int = 100
    keep: int = 2
    monitor: str = "val/nDCG@10"
    tensorboard: bool = True

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The folder of the best model."""
        return self.path / "best"

    @property
    def curves(self) -> Path:
        """The CSV file of the curves."""
        return self.path / "metrics.csv"

    def check(self, *, resume: bool = False, overwrite: bool = False) -> None:
        """Refuse what :meth:`begin` would refuse, and touch nothing; of several processes the first alone looks.

        Raises:
            InputError: when the folder holds a run and neither is asked for, or both are.
        """
        if resume and overwrite:
            raise InputError("resume goes on with the run and overwrite removes it: choose one")
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"run_folder={self.path} is a file: name a folder")
        if _first_process() and self._holds_run() and not resume and not overwrite:
            raise InputError(
                f"{self.path} already holds a run: go on with it by --resume, replace it by --overwrite, or name "
                "another --run_folder"
            )

    def earlier(self) -> list[Path]:
        """What an earlier run left; of ``tensorboard/`` the files, as the next run opens its own before it begins."""
        events = self.path / "tensorboard"
        return [self.checkpoints, self.best, self.curves, *(events.glob("*") if self.tensorboard else [events])]

    def begin(
        self, *, resume: bool = False, overwrite: bool = False, earlier: Sequence[Path] | None = None
    ) -> Path | None:
        """Make the folder ready for a run; of several processes the first alone changes it.

        Args:
            resume: go on from the last checkpoint that can be read; one that cannot is set aside, and that is logged.
            overwrite: remove what an earlier run left.
            earlier: what that is; None = what :meth:`earlier` finds now.

        Returns:
            The checkpoint to go on from; None = from the beginning.

        Raises:
            InputError: when the folder holds a run and neither is asked for, both are, every checkpoint is damaged, or
                a later one is a folder.
        """
        self.check(resume=resume, overwrite=overwrite)
        if not _first_process():
            return last_good_checkpoint(self.checkpoints)[0] if resume else None
        if resume and not self.best.exists():
            _put_back(self.best)
        for leftover in (*self.path.glob(".*.part"), *self.path.glob(".*.old"), *self.checkpoints.glob(".*.part")):
            _remove(leftover)
        if resume:
            return self._last_good()
        if self._holds_run():
            for old in self.earlier() if earlier is None else earlier:
                _remove(old)
        return None

    def check_trained(self, trainer: Trainer) -> None:
        """Refuse to call a run finished that took no step, or left no model.

        Raises:
            InputError: when there was no step to take, or no validation gave a number to choose a model by.
        """
        limits = {name: getattr(trainer, name) for name in ("max_epochs", "max_steps", "limit_train_batches")}
        if 0 in limits.values():
            given = ", ".join(f"trainer.{name}={value}" for name, value in limits.items())
            raise InputError(f"nothing was trained: {given} leave no step to take; raise what is too low")
        if trainer.is_global_zero and not self.best.is_dir():
            raise InputError(
                f"{self.best} is not there: no validation gave a number to choose a model by; look at {self.curves}, "
                f"and for the last weights in {self.checkpoints}"
            )

    def callbacks(self) -> list[Callback]:
        """Random state, best model, checkpoints: what a run needs to be resumed."""
        return [
            RandomState(),
            BestModel(self.best, monitor=self.monitor),
            Checkpoints(self.checkpoints, every_n_steps=self.checkpoint_every, keep=self.keep),
        ]

    def loggers(self) -> list[Logger]:
        """The curves, as CSV and for TensorBoard."""
        curves: list[Logger] = [CurveLogger(self.path)]
        if self.tensorboard:
            curves.append(TensorBoardLogger(self.path, name="", version="tensorboard"))
        return curves

    def trainer_arguments(self) -> dict[str, Any]:
        """All that ``pytorch_lightning.Trainer`` has to know of this folder, as its keyword arguments."""
        return {
            "callbacks": self.callbacks(),
            "logger": self.loggers(),
            "plugins": [SafeCheckpointIO()],
            "default_root_dir": str(self.path),
        }

    def _holds_run(self) -> bool:
        return bool(checkpoints_in(self.checkpoints)) or self.curves.exists()

    def _last_good(self) -> Path | None:
        checkpoint, damaged = last_good_checkpoint(self.checkpoints)
        for path in damaged:
            log.warning("%s is damaged: going on from %s", path, checkpoint.name if checkpoint else "the beginning")
            path.rename(path.with_suffix(".damaged"))
        if checkpoint is None:
            log.warning("no checkpoint in %s yet: starting from the beginning", self.checkpoints)
        return checkpoint


class Beginning(Callback):
    """Change the run's folder once training starts: data, model and checkpoint are known to fit each other by then.

    An earlier run that is to be overwritten is lost no sooner. Give it before callbacks that write.

    Args:
        folder: of the run.
        begin: makes it ready; called in every process. None = it is.
        config: gives the content of ``config.yaml``.
    """

    def __init__(self, folder: Path, begin: Callable[[], object] | None, config: Callable[[], str]) -> None:
        self.path, self.begin, self.config = folder / "config.yaml", begin, config

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the folder ready, and say in it what the run is."""
        if self.begin is not None:
            self.begin()
        if trainer.is_global_zero:
            with atomic_file(self.path) as temporary:
                temporary.write_text(self.config(), encoding="utf-8")


def _first_process() -> bool:
    return not getattr(rank_zero_only, "rank", 0)


def _put_back(folder: Path) -> None:
    """Give a folder that a kill caught while it was replaced its name again: by then the old one was set aside."""
    aside = max(folder.parent.glob(f".{folder.name}.*.old"), key=lambda path: path.stat().st_mtime, default=None)
    if aside is not None:
        log.warning("%s was being replaced when the run stopped: the one before is back", folder)
        aside.rename(folder)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
