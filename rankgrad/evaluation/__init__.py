"""Systems side by side: quality with significance, time a query, tables and plots; what features are worth."""

from rankgrad.evaluation.answer_cache import AnswerCache
from rankgrad.evaluation.compare import Comparison, compare
from rankgrad.evaluation.difference_plot import difference_figure
from rankgrad.evaluation.experiment import Experiment
from rankgrad.evaluation.fingerprint import folder_fingerprint, task_fingerprint
from rankgrad.evaluation.importance import Importance, permutation_importance
from rankgrad.evaluation.importance_plot import plot_importance
from rankgrad.evaluation.index_cache import cached_index, cached_stage
from rankgrad.evaluation.report import Report, SystemResult
from rankgrad.evaluation.study import Study
from rankgrad.evaluation.study_report import StudyReport
from rankgrad.evaluation.trade_off_plot import trade_off_figure
from rankgrad.evaluation.values import Metric

__all__ = [
    "AnswerCache",
    "Comparison",
    "Experiment",
    "Importance",
    "Metric",
    "Report",
    "Study",
    "StudyReport",
    "SystemResult",
    "cached_index",
    "cached_stage",
    "compare",
    "difference_figure",
    "folder_fingerprint",
    "permutation_importance",
    "plot_importance",
    "task_fingerprint",
    "trade_off_figure",
]
