"""``rankgrad fit``: a training run from configuration files."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from jsonargparse import ArgumentError, DefaultHelpFormatter
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import LightningDataModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.strategies import ModelParallelStrategy

from rankgrad._checks import InputError, MissingExtraError
from rankgrad.data.datamodule import ListDataModule
from rankgrad.data.feature_datamodule import FeatureListDataModule
from rankgrad.training.checkpoints import check_one_file, read_checkpoint
from rankgrad.training.compose import compose, take_object_options
from rankgrad.training.progress import progress_bar
from rankgrad.training.quiet import quiet_lightning
from rankgrad.training.ranker import Ranker
from rankgrad.training.run_folder import Beginning, RunFolder
from rankgrad.training.sharding import check_strategy

USAGE = "rankgrad fit --config FILE [--config FILE ...] [--run_folder FOLDER] [--resume | --overwrite] [--VALUE ...]"
DESCRIPTION = """Train a ranker. A configuration names model, loss and data; every value in it can be replaced here:

  rankgrad fit --config configs/experiment/pydoc_colbert.yaml
  rankgrad fit --config configs/experiment/pydoc_colbert.yaml --model.learning_rate 1e-5 --data.batch_size 8
  rankgrad fit --config configs/experiment/pydoc_colbert.yaml --resume      (after a crash or a kill)
"""
TRAINER_DEFAULTS = {
    "gradient_clip_val": 1.0,
    "log_every_n_steps": 1,
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
}
_COUNTS = ("limit_train_batches", "limit_val_batches", "overfit_batches", "val_check_interval")
DATA_MODULES = {f"rankgrad.data.{each.__name__}": each for each in (ListDataModule, FeatureListDataModule)}
METRICS = [{"class_path": f"rankgrad.metrics.{name}", "init_args": {"k": 10}} for name in ("NDCG", "ReciprocalRank")]


class _Help(DefaultHelpFormatter):
    """Keeps the line breaks of the description."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text


class _Parser(LightningArgumentParser):
    """Leaves out of the help the hundreds of classes that happen to be modules."""

    def format_help(self) -> str:
        return re.sub(r",\s+known\s+subclasses:[^)]*\)", ")", super().format_help())


class FitCLI(LightningCLI):
    """Lightning's command line with a run folder around it."""

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Put the options of the run folder before the values of a configuration."""
        run = parser.add_argument_group("The run")
        run.add_argument("--run_folder", type=str, default="runs/latest", help="Where all files of the run go.")
        run.add_argument("--resume", action="store_true", help="Go on from the run folder's last good checkpoint.")
        run.add_argument("--overwrite", action="store_true", help="Replace the run that is in the run folder.")
        run.add_argument("--checkpoint_every", type=int, default=100, help="Optimizer steps between two checkpoints.")
        run.add_argument("--monitor", type=str, default="val/nDCG@10", help="What decides which model is the best.")
        run.add_argument(
            "--data_module",
            type=str,
            default="rankgrad.data.ListDataModule",
            help="What `data` makes: rankgrad.data.ListDataModule (texts) or rankgrad.data.FeatureListDataModule.",
        )
        run.add_argument("--tensorboard", type=bool, default=True, help="Write curves for TensorBoard too.")
        super().add_core_arguments_to_parser(parser)
        parser.set_defaults({"model.metrics": METRICS})
        self.refusals: list[Exception] = []
        parser.add_instantiator(self._make, object)  # type: ignore[arg-type]

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Put the configuration files together, parse, and say in one line what is wrong."""
        files, options = _config_files(args)
        config, options = take_object_options(compose(files), options)
        composed = [f"--config={yaml.safe_dump(config)}"] if files else []
        try:
            self.config = parser.parse_args([*composed, *options])
            _keep_counts(self.config, config.get("trainer") or {}, options)
            trainer = self.config.trainer
            if trainer.deterministic is None:
                trainer.deterministic = _repeatable(trainer.accelerator)
        except ArgumentError as error:
            raise InputError(f"{error.message or error} (see rankgrad fit --help)") from error

    def before_instantiate_classes(self) -> None:
        """Look into the run folder before anything is loaded."""
        config = self.config
        self.run = RunFolder(
            Path(config.run_folder),
            checkpoint_every=config.checkpoint_every,
            monitor=config.monitor,
            tensorboard=config.tensorboard,
        )
        self.resume = config.resume
        asked = {"resume": config.resume, "overwrite": config.overwrite}
        self.run.check(**asked)
        self.begin = partial(self.run.begin, **asked, earlier=self.run.earlier())
        # The run folder's config.yaml describes the run, not how it was started this time.
        config.resume = config.overwrite = False

    def instantiate_classes(self) -> None:
        """Make the objects; where one refuses its values, that is what is wrong.

        Of a type that is one of several, jsonargparse tries them all and lists why each of them fails, or goes on with
        the value as it stands.
        """
        try:
            super().instantiate_classes()
        except ValueError as error:
            if not self.refusals and "\n" in str(error):
                raise InputError(f"{_one_line(error)} (see rankgrad fit --help)") from error
            if not self.refusals:
                raise
        if self.refusals:
            raise self.refusals[0]

    def _make(self, kind: type, *args: Any, **kwargs: Any) -> Any:
        """Make one object, and remember why not."""
        try:
            return kind(*args, **kwargs)
        except (InputError, MissingExtraError, OSError) as error:
            self.refusals.append(error)
            raise
        except (ValueError, MisconfigurationException) as error:
            self.refusals.append(InputError(f"{kind.__name__}: {_one_line(error)}"))
            raise

    def _content(self) -> str:
        return self.parser.dump(self.config, skip_none=False)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Give the trainer what the run folder needs, beside what the configuration asks for."""
        config = self._get(self.config_init, "trainer")
        # Making the objects reads the values once more, see _keep_counts.
        for name in _COUNTS:
            config[name] = self.config.trainer[name]
        own = self.run.trainer_arguments()
        # What resumes has begun before, since that finds the checkpoint.
        beginning = Beginning(self.run.path, None if self.resume else self.begin, self._content)
        config.callbacks = [beginning, *_listed(config.callbacks), *own["callbacks"]]
        if config.enable_progress_bar is not False and not any(
            isinstance(one, ProgressBar) for one in config.callbacks
        ):
            config.callbacks.append(progress_bar())
        config.plugins = [*_listed(config.plugins), *own["plugins"]]
        if config.logger is None:
            config.logger = own["logger"]
        config.default_root_dir = own["default_root_dir"]
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, ValueError, TypeError, ModuleNotFoundError) as error:
            raise InputError(f"trainer: {_one_line(error)}") from error
        check_one_file(trainer.strategy)
        return trainer

    def fit(self) -> None:
        """Train to the end.

        Raises:
            InputError: when there is no step to take, or fewer batches an epoch than between two validations.
        """
        trainer, checkpoint = self.trainer, self.begin() if self.resume else None
        path = checkpoint and str(checkpoint)
        if path is not None:
            check_strategy(read_checkpoint(path), path, sharded=isinstance(trainer.strategy, ModelParallelStrategy))
        try:
            trainer.fit(self.model, self.datamodule, ckpt_path=path, weights_only=True)
        except ValueError as error:
            if "`val_check_interval`" not in str(error):
                raise
            raise InputError(
                f"trainer.val_check_interval={trainer.val_check_interval}: an epoch has {trainer.num_training_batches} "
                "batches; give no more, or trainer.check_val_every_n_epoch=null to count on from epoch to epoch"
            ) from error
        self.run.check_trained(trainer)


def main(argv: Sequence[str] | None = None) -> RunFolder:
    """Run ``rankgrad fit``.

    Args:
        argv: the arguments; None = those of this process.

    Returns:
        The folder of the finished run.

    Raises:
        InputError: for anything wrong with the arguments, the data, the model or the run folder.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    with quiet_lightning(), _as_before():
        cli = FitCLI(
            Ranker,
            _data_module(arguments),
            seed_everything_default=0,
            trainer_defaults=TRAINER_DEFAULTS,
            save_config_callback=None,
            auto_configure_optimizers=False,
            parser_class=_Parser,
            parser_kwargs={
                "prog": "rankgrad fit",
                "usage": USAGE,
                "description": DESCRIPTION,
                "formatter_class": _Help,
                "exit_on_error": False,
                "allow_abbrev": False,
            },
            run=False,
            args=arguments,
        )
        cli.fit()
    return cli.run


@contextmanager
def _as_before() -> Iterator[None]:
    """Lightning's wrong-use errors as ours; torch's determinism switch set back after the run."""
    switch = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    except MisconfigurationException as error:
        raise InputError(str(error)) from error
    finally:
        torch.use_deterministic_algorithms(switch[0], warn_only=switch[1])


def _config_files(args: Sequence[str]) -> tuple[list[str | Path], list[str]]:
    """The values of ``--config``, and the other arguments."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("-c", "--config", action="append", default=[])
    try:
        found, others = finder.parse_known_args(list(args))
    except argparse.ArgumentError as error:
        raise InputError(f"{error} (see rankgrad fit --help)") from error
    return found.config, others


def _data_module(args: Sequence[str]) -> type[LightningDataModule]:
    """The class that `data` is read for: it must be known before the rest can be parsed."""
    files, options = _config_files(args)
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("--data_module", default=compose(files).get("data_module", next(iter(DATA_MODULES))))
    try:
        name = finder.parse_known_args(options)[0].data_module
    except argparse.ArgumentError as error:
        raise InputError(f"{error} (see rankgrad fit --help)") from error
    if name not in DATA_MODULES:
        raise InputError(f"data_module: expected one of {', '.join(DATA_MODULES)}, got {name!r}")
    return DATA_MODULES[name]


def _keep_counts(config: Any, trainer: dict[str, Any], options: Sequence[str]) -> None:
    """Put back whole numbers that were read as shares: 1 means one batch, 1.0 all of them.

    Lightning's type is "int or float", but which of them jsonargparse tries first depends on what was imported before:
    typing caches unions regardless of their order.
    """
    for name in _COUNTS:
        flag, given = f"--trainer.{name}", trainer.get(name)
        for place, option in enumerate(options):
            if option.startswith(f"{flag}="):
                given = yaml.safe_load(option.partition("=")[2])
            elif option == flag and place + 1 < len(options):
                given = yaml.safe_load(options[place + 1])
        if type(given) is int:
            config.trainer[name] = given


def _repeatable(accelerator: Any) -> bool | Literal["warn"]:
    """``trainer.deterministic`` where nothing is said: on a GPU running sums, for one, have no repeatable kernel.

    There they are named in a warning instead of ending the run.
    """
    return True if accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available()) else "warn"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
