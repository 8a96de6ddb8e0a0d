"""Systems side by side: quality with significance, time a query, tables and plots."""

from rankgrad.evaluation.compare import Comparison, compare
from rankgrad.evaluation.experiment import Experiment
from rankgrad.evaluation.report import Report, SystemResult

__all__ = ["Comparison", "Experiment", "Report", "SystemResult", "compare"]
