"""What an experiment found, query by query: as a table, JSON, TREC runs and a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rankgrad._checks import InputError
from rankgrad._files import atomic_file, atomic_folder, check_replaceable
from rankgrad.data import Run
from rankgrad.data.trec import write_run
from rankgrad.evaluation.compare import Comparison

if TYPE_CHECKING:
    from rich.table import Table

FORMAT_VERSION = 1
_JSON = "report.json"


@dataclass(frozen=True)
class SystemResult:
    """One system's answers in numbers.

    Args:
        name: the system's name.
        values: by metric, one value a query.
        milliseconds: the time of each query.
        kept: whether answers and times are those of an earlier run, from a cache.
    """

    name: str
    values: dict[str, tuple[float, ...]] = field(repr=False)
    milliseconds: tuple[float, ...] = field(repr=False)
    kept: bool = False

    def mean(self, metric: str) -> float:
        """The mean of a metric over the queries."""
        return float(np.mean(self.values[metric]))

    def latency(self) -> dict[str, float]:
        """Milliseconds a query: ``p20``, ``p50`` (the median) and ``p80``."""
        found = np.percentile(self.milliseconds, [20, 50, 80])
        return dict(zip(("p20", "p50", "p80"), found.tolist(), strict=True))


@dataclass(frozen=True)
class Report:
    """The result of :meth:`rankgrad.evaluation.Experiment.run`.

    Args:
        collection: the task's name.
        documents: how many documents were searched.
        queries: ids of the queries, in the order of all values.
        baseline: the system that the others are compared with.
        metrics: names, the deciding one first.
        systems: results in the order given.
        comparisons: see :func:`rankgrad.evaluation.compare`.
        threads: CPU threads torch used.
        seed: of the resampling.
        runs: by system, its rankings by ids; not part of the JSON.
    """

    collection: str
    documents: int
    queries: tuple[str, ...] = field(repr=False)
    baseline: str
    metrics: tuple[str, ...]
    systems: tuple[SystemResult, ...]
    comparisons: tuple[Comparison, ...] = field(repr=False)
    threads: int
    seed: int
    runs: Mapping[str, Run] = field(default_factory=dict, repr=False, compare=False)

    def comparison(self, system: str, metric: str) -> Comparison | None:
        """The comparison of a system with the baseline; None for the baseline itself."""
        rows = (row for row in self.comparisons if (row.system, row.metric) == (system, metric))
        return next(rows, None)

    def table(self) -> Table:
        """A table for a terminal: ``rich.print(report.table())``."""
        from rankgrad.evaluation.table import report_table

        return report_table(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, per-query values included."""
        systems = [
            {
                "name": system.name,
                "means": {metric: system.mean(metric) for metric in self.metrics},
                "milliseconds": system.latency() | {"per_query": list(system.milliseconds)},
                "values": {metric: list(values) for metric, values in system.values.items()},
                "kept": system.kept,
            }
            for system in self.systems
        ]
        return {
            "format_version": FORMAT_VERSION,
            "collection": self.collection,
            "documents": self.documents,
            "baseline": self.baseline,
            "metrics": list(self.metrics),
            "comparisons": [asdict(row) for row in self.comparisons],
            "timing": "one query at a time, warm, from text to ranking, all stages included",
            "threads": self.threads,
            "seed": self.seed,
            "queries": list(self.queries),
            "systems": systems,
        }

    @classmethod
    def from_json(cls, path: str | Path) -> Report:
        """Read a ``report.json``, or the folder that :meth:`write` wrote; the runs stay in their own files.

        Raises:
            FileNotFoundError: when there is no such file.
            InputError: when it is malformed or of another format version.
        """
        path = Path(path)
        path = path / _JSON if path.is_dir() else path
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise InputError(f"{path}:{error.lineno}: {error.msg}: write the report again") from error
        if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION:
            raise InputError(
                f"{path} is no report of format version {FORMAT_VERSION}: write it again with this version"
            )
        try:
            systems = tuple(
                SystemResult(
                    system["name"],
                    {metric: tuple(values) for metric, values in system["values"].items()},
                    tuple(system["milliseconds"]["per_query"]),
                    system.get("kept", False),
                )
                for system in content["systems"]
            )
            return cls(
                collection=content["collection"],
                documents=content["documents"],
                queries=tuple(content["queries"]),
                baseline=content["baseline"],
                metrics=tuple(content["metrics"]),
                systems=systems,
                comparisons=tuple(Comparison(**row) for row in content["comparisons"]),
                threads=content["threads"],
                seed=content["seed"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is an incomplete report ({error!r}): write it again") from error

    def write(self, folder: str | Path) -> None:
        """Write ``report.json``, ``report.html``, ``runs/<system>.trec`` and pictures, all of it or nothing.

        Args:
            folder: a new or empty folder, or an older report, which is replaced.

        Raises:
            InputError: when ``folder`` holds other files.
        """
        from rankgrad.evaluation.page import report_page
        from rankgrad.evaluation.pictures import pictures

        check_replaceable(folder, _JSON)
        with atomic_folder(folder) as temporary:
            (temporary / _JSON).write_text(json.dumps(self.to_dict(), indent=1), encoding="utf-8")
            (temporary / "runs").mkdir()
            for name, stem in file_stems(list(self.runs)).items():
                write_run(temporary / "runs" / f"{stem}.trec", self.runs[name], tag=stem)
            shown = pictures(self)
            for name, content in shown.items():
                (temporary / name).write_bytes(content)
            (temporary / "report.html").write_text(report_page(self, shown), encoding="utf-8")

    def save_html(self, path: str | Path) -> None:
        """Write one page that needs no other file: tables, tests, pictures; it appears whole or not at all."""
        from rankgrad.evaluation.page import report_page
        from rankgrad.evaluation.pictures import pictures

        page = report_page(self, pictures(self))
        with atomic_file(path) as temporary:
            temporary.write_text(page, encoding="utf-8")


def file_stems(names: list[str]) -> dict[str, str]:
    """A file name for each name: letters, digits and dots, joined by ``-``; a number where two would be the same."""
    stems: dict[str, str] = {}
    for name in names:
        stem = "-".join("".join(c if c.isalnum() or c == "." else " " for c in name).split()).strip(".") or "system"
        taken = {other.casefold() for other in stems.values()}
        wanted, number = stem, 2
        while wanted.casefold() in taken:
            wanted, number = f"{stem}-{number}", number + 1
        stems[name] = wanted
    return stems
