"""Lightning without the notices that a run does not need."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# What Lightning 2.6 says although nothing is wrong: its tree utilities use a torch class that torch 2.13 renames, and
# it recommends as many loader workers as there are cores.
_NOTICES = (r"`isinstance\(treespec, LeafSpec\)` is deprecated", r"The '\w+' does not have many workers which may be")


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hold back Lightning's lists of the hardware there is not, and the warnings that ask for nothing; errors stay.

    Example:
        >>> with quiet_lightning():
        ...     warnings.warn("The 'val_dataloader' does not have many workers which may be a bottleneck.")
    """
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for notice in _NOTICES:
                warnings.filterwarnings("ignore", message=notice)
            # Its command line, and ours on top of it, call what jsonargparse 4.53 deprecates.
            warnings.filterwarnings(
                "ignore", category=DeprecationWarning, module=r"(pytorch_lightning|rankgrad\.training)\.cli"
            )
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
