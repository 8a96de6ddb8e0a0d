"""Systems side by side: quality with significance, time a query, tables and plots; what features are worth."""

from rankgrad.evaluation.compare import Comparison, compare
from rankgrad.evaluation.experiment import Experiment
from rankgrad.evaluation.importance import Importance, permutation_importance
from rankgrad.evaluation.importance_plot import plot_importance
from rankgrad.evaluation.report import Report, SystemResult

__all__ = [
    "Comparison",
    "Experiment",
    "Importance",
    "Report",
    "SystemResult",
    "compare",
    "permutation_importance",
    "plot_importance",
]
