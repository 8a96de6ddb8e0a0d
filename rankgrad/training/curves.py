"""The curves of a run as one CSV file that survives being killed."""

from __future__ import annotations

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from rankgrad._files import atomic_file


class CurveLogger(Logger):
    """Write ``metrics.csv``: one row a step that logs something, one column a metric, floats in full precision.

    A resumed run goes on in the same file: rows from its first step on, which the killed run had already written, are
    dropped, so the file reads as if nothing had happened.

    Args:
        folder: where ``metrics.csv`` lies.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.path = Path(folder) / "metrics.csv"
        self._columns: list[str] = []
        self._started = False

    @property
    def name(self) -> str:
        """The run's name: its folder's."""
        return self.path.parent.name

    @property
    def version(self) -> None:
        """None: a folder holds one run."""
        return

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self.path.parent)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any) -> None:
        """Nothing: the configuration is a file of its own."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one row."""
        row = {"step": str(step), **{name: repr(value) for name, value in metrics.items()}}
        earlier = self._start(step) if not self._started else None
        new = [name for name in row if name not in self._columns]
        self._columns += new
        if new or earlier is not None:
            self._rewrite(read_curves(self.path) if earlier is None else earlier)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(row)

    def _start(self, step: int | None) -> list[dict[str, str]]:
        """Take over what an earlier run wrote before ``step``."""
        self._started = True
        rows = [row for row in read_curves(self.path) if step is None or int(row["step"]) < step]
        self._columns = list(dict.fromkeys(name for row in rows for name in row)) or ["step", "epoch"]
        return rows

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        with atomic_file(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)


def read_curves(path: str | Path) -> list[dict[str, str]]:
    """The rows of a ``metrics.csv``, the values that are there only; a last row cut short by a kill is left out.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "metrics.csv"
        >>> _ = path.write_text("step,train/loss,val/nDCG@10" + chr(10) + "0,0.5," + chr(10) + "1,0.")
        >>> read_curves(path)
        [{'step': '0', 'train/loss': '0.5'}]
    """
    path = Path(path)
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        lines = [line for line in file if line.endswith("\n")]
    return [{name: value for name, value in row.items() if value} for row in csv.DictReader(lines)]
