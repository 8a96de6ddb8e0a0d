"""Training: the Lightning module, the files of a run, hard negatives and teacher scores."""

from rankgrad.training.callbacks import BestModel, Checkpoints
from rankgrad.training.checkpoints import SafeCheckpointIO
from rankgrad.training.curves import CurveLogger, read_curves
from rankgrad.training.distill import teacher_run, teacher_scores, write_teacher_scores
from rankgrad.training.first_stage import fit_first_stage_weight
from rankgrad.training.list_metrics import ListMetrics
from rankgrad.training.meters import PerQuery
from rankgrad.training.negatives import BM25Negatives
from rankgrad.training.optim import parameter_groups
from rankgrad.training.progress import ProgressLines
from rankgrad.training.quiet import quiet_lightning
from rankgrad.training.random_state import RandomState
from rankgrad.training.ranker import Ranker
from rankgrad.training.run_folder import RunFolder

__all__ = [
    "BM25Negatives",
    "BestModel",
    "Checkpoints",
    "CurveLogger",
    "ListMetrics",
    "PerQuery",
    "ProgressLines",
    "RandomState",
    "Ranker",
    "RunFolder",
    "SafeCheckpointIO",
    "fit_first_stage_weight",
    "parameter_groups",
    "quiet_lightning",
    "read_curves",
    "teacher_run",
    "teacher_scores",
    "write_teacher_scores",
]
