"""What a study found: a report a collection, and all of them side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rankgrad._files import atomic_file, atomic_folder, check_replaceable
from rankgrad.evaluation.report import Report, file_stems
from rankgrad.metrics import holm_correction

if TYPE_CHECKING:
    from rich.table import Table

FORMAT_VERSION = 1
_JSON = "study.json"


@dataclass(frozen=True)
class StudyReport:
    """The result of :meth:`rankgrad.evaluation.Study.run`.

    Args:
        reports: one a collection, with the same systems and metrics.
    """

    reports: tuple[Report, ...] = field(repr=False)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names, the deciding one first."""
        return self.reports[0].metrics

    @property
    def systems(self) -> tuple[str, ...]:
        """Names in the order given."""
        return tuple(system.name for system in self.reports[0].systems)

    @property
    def baseline(self) -> str:
        """The system that the others are compared with."""
        return self.reports[0].baseline

    @property
    def collections(self) -> tuple[str, ...]:
        """Names in the order given."""
        return tuple(report.collection for report in self.reports)

    def means(self, system: str, metric: str) -> tuple[float, ...]:
        """The mean over the queries of each collection."""
        return tuple(one.mean(metric) for report in self.reports for one in report.systems if one.name == system)

    def mean(self, system: str, metric: str) -> float:
        """The mean over the collections of the means over their queries: every collection counts alike."""
        return float(np.mean(self.means(system, metric)))

    def corrected_p(self, system: str, collection: str) -> float | None:
        """The p-value of the randomisation test in the first metric, Holm-corrected over systems times collections.

        Returns:
            None for the baseline, and where a collection has a single query.
        """
        return self._corrected.get((system, collection))

    @cached_property
    def _corrected(self) -> dict[tuple[str, str], float]:
        found = {
            (row.system, report.collection): row.randomization_p
            for report in self.reports
            for row in report.comparisons
            if row.metric == self.metrics[0] and row.randomization_p is not None
        }
        return dict(zip(found, holm_correction(list(found.values())), strict=True)) if found else {}

    def table(self) -> Table:
        """A table for a terminal: ``rich.print(report.table())``."""
        from rankgrad.evaluation.study_table import study_table

        return study_table(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: what holds for all collections, and each one's own report."""
        corrected = [
            {"system": system, "collection": collection, "randomization_p_holm": p}
            for (system, collection), p in self._corrected.items()
        ]
        means = {system: {metric: self.mean(system, metric) for metric in self.metrics} for system in self.systems}
        return {
            "format_version": FORMAT_VERSION,
            "baseline": self.baseline,
            "metrics": list(self.metrics),
            "means_over_collections": means,
            "corrected_over_the_study": corrected,
            "collections": [report.to_dict() for report in self.reports],
        }

    def write(self, folder: str | Path) -> None:
        """Write ``study.json``, ``report.html`` and, as :meth:`Report.write`, ``collections/<name>``; all or nothing.

        Args:
            folder: a new or empty folder, or an older study, which is replaced.

        Raises:
            InputError: when ``folder`` holds other files.
        """
        from rankgrad.evaluation.pictures import CAPTIONS
        from rankgrad.evaluation.study_page import study_page

        check_replaceable(folder, _JSON)
        with atomic_folder(folder) as temporary:
            shown: dict[str, Mapping[str, bytes]] = {}
            stems = file_stems(list(self.collections))
            for report in self.reports:
                own = temporary / "collections" / stems[report.collection]
                report.write(own)
                shown[report.collection] = {
                    name: (own / name).read_bytes() for name in CAPTIONS if (own / name).is_file()
                }
            (temporary / _JSON).write_text(json.dumps(self.to_dict(), indent=1), encoding="utf-8")
            (temporary / "report.html").write_text(study_page(self, shown), encoding="utf-8")

    def save_html(self, path: str | Path) -> None:
        """Write one page that needs no other file; it appears whole or not at all."""
        from rankgrad.evaluation.pictures import pictures
        from rankgrad.evaluation.study_page import study_page

        page = study_page(self, {report.collection: pictures(report) for report in self.reports})
        with atomic_file(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
