"""``rankgrad fit``: train a ranker from configuration files."""

from __future__ import annotations

import argparse

from rankgrad._checks import require
from rankgrad.cli._parser import Parser, add_command
from rankgrad.cli._show import note


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command; its options are Lightning's."""
    parser = add_command(
        commands,
        "fit",
        run,
        summary="train a ranker from configuration files",
        about=(
            "Train a ranker. --config FILE names a configuration (again for more; the later ones win), and any\n"
            "value in it can be replaced behind it. The run goes to --run_folder FOLDER; --resume goes on\n"
            "with a run that was stopped, --overwrite replaces one. --print_config shows every value with its\n"
            "default, --help-all explains them."
        ),
        example=(
            "  rankgrad fit --config configs/experiment/pydoc_colbert.yaml --trainer.max_epochs 2\n"
            "  rankgrad fit --config configs/experiment/pydoc_colbert.yaml --resume"
        ),
    )
    parser.usage = "rankgrad fit --config FILE [--config FILE ...] [--KEY VALUE ...] [--resume | --overwrite]"
    parser.add_argument("--help-all", action="store_true", help="explain every value of a configuration and exit")


def run(arguments: argparse.Namespace) -> int:
    """Hand the arguments on to the training command line."""
    for library in ("transformers", "pytorch_lightning", "jsonargparse", "torchmetrics"):
        require(library, "train")
    from rankgrad.training import cli

    folder = cli.main(["--help"] if arguments.help_all else arguments.rest)
    note(f"the best model is in {folder.best}")
    return 0
