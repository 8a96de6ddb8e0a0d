"""Training: the Lightning module, the files of a run, hard negatives and teacher scores."""

from rankgrad.training.annealing import AnnealTemperature
from rankgrad.training.blend import blend_weights
from rankgrad.training.callbacks import BestModel, Checkpoints
from rankgrad.training.checkpoints import SafeCheckpointIO
from rankgrad.training.curves import CurveLogger, read_curves
from rankgrad.training.distill import teacher_run, teacher_scores, write_teacher_scores
from rankgrad.training.encode import encode_corpus
from rankgrad.training.first_stage import fit_first_stage_weight
from rankgrad.training.gather import across_processes, all_gather_rows
from rankgrad.training.grad_cache import SplitModel, cached_scores
from rankgrad.training.keep_share import KeepShare
from rankgrad.training.list_metrics import ListMetrics
from rankgrad.training.matryoshka import MatryoshkaLoss
from rankgrad.training.meters import PerQuery
from rankgrad.training.mining import HardNegatives, MinedList, NegativeFilter
from rankgrad.training.mining_files import MiningSummary, mine_to_folder
from rankgrad.training.negatives import BM25Negatives, RetrievedCandidates
from rankgrad.training.optim import parameter_groups
from rankgrad.training.progress import ProgressLines
from rankgrad.training.query_weights import FitQueryWeights
from rankgrad.training.quiet import quiet_lightning
from rankgrad.training.random_state import RandomState
from rankgrad.training.ranker import Ranker
from rankgrad.training.run_folder import RunFolder
from rankgrad.training.sparsity import SparsityPenalty

__all__ = [
    "AnnealTemperature",
    "BM25Negatives",
    "BestModel",
    "Checkpoints",
    "CurveLogger",
    "FitQueryWeights",
    "HardNegatives",
    "KeepShare",
    "ListMetrics",
    "MatryoshkaLoss",
    "MinedList",
    "MiningSummary",
    "NegativeFilter",
    "PerQuery",
    "ProgressLines",
    "RandomState",
    "Ranker",
    "RetrievedCandidates",
    "RunFolder",
    "SafeCheckpointIO",
    "SparsityPenalty",
    "SplitModel",
    "across_processes",
    "all_gather_rows",
    "blend_weights",
    "cached_scores",
    "encode_corpus",
    "fit_first_stage_weight",
    "mine_to_folder",
    "parameter_groups",
    "quiet_lightning",
    "read_curves",
    "teacher_run",
    "teacher_scores",
    "write_teacher_scores",
]
