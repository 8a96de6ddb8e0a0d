"""Losses: ``(scores, labels, mask)`` to one value, or one a list."""

from rankgrad.losses.approx_mrr import ApproxMRR, approx_mrr_loss
from rankgrad.losses.approx_ndcg import ApproxNDCG, approx_ndcg_loss
from rankgrad.losses.constant_margin_mse import ConstantMarginMSELoss, constant_margin_mse_loss
from rankgrad.losses.early_exit import EarlyExitLoss
from rankgrad.losses.fenchel_young import FenchelYoungLoss, fenchel_young_loss
from rankgrad.losses.gumbel import GumbelLoss, Loss
from rankgrad.losses.info_nce import InfoNCELoss, info_nce_loss
from rankgrad.losses.kl_distill import KLDistillLoss, kl_distill_loss
from rankgrad.losses.lambda_loss import LambdaLoss, lambda_loss
from rankgrad.losses.lcron import LCRONLoss, lcron_loss
from rankgrad.losses.list_mle import ListMLELoss, list_mle_loss
from rankgrad.losses.m3_distill import M3DistillLoss, m3_distill_loss
from rankgrad.losses.margin_mse import MarginMSELoss, margin_mse_loss
from rankgrad.losses.metric_loss import Metric, MetricLoss, metric_loss
from rankgrad.losses.neural_ndcg import NeuralNDCG, neural_ndcg_loss
from rankgrad.losses.ordinal import OrdinalLoss, ordinal_loss
from rankgrad.losses.p_list_mle import PListMLELoss, p_list_mle_loss
from rankgrad.losses.pairwise_hinge import PairwiseHingeLoss, pairwise_hinge_loss
from rankgrad.losses.pearson_distill import PearsonDistillLoss, pearson_distill_loss
from rankgrad.losses.pi_rank import PiRank, pi_rank_loss
from rankgrad.losses.plackett_luce import PlackettLuceLoss, plackett_luce_loss
from rankgrad.losses.pointwise_bce import PointwiseBCELoss, pointwise_bce_loss
from rankgrad.losses.pointwise_mse import PointwiseMSELoss, pointwise_mse_loss
from rankgrad.losses.poly1_softmax import Poly1SoftmaxLoss, poly1_softmax_loss
from rankgrad.losses.rank_mse import RankMSELoss, rank_mse_loss
from rankgrad.losses.ranknet import RankNetLoss, ranknet_loss
from rankgrad.losses.smooth_i import SmoothI, smooth_i_loss
from rankgrad.losses.softmax_loss import SoftmaxLoss, softmax_loss
from rankgrad.losses.sparsity import FlopsPenalty, L1Penalty
from rankgrad.losses.spearman import SpearmanLoss, spearman_loss
from rankgrad.losses.top_k_cross_entropy import TopKCrossEntropyLoss, top_k_cross_entropy_loss
from rankgrad.losses.triplet import TripletLoss, triplet_loss
from rankgrad.losses.unique_softmax import UniqueSoftmaxLoss, unique_softmax_loss

__all__ = [
    "ApproxMRR",
    "ApproxNDCG",
    "ConstantMarginMSELoss",
    "EarlyExitLoss",
    "FenchelYoungLoss",
    "FlopsPenalty",
    "GumbelLoss",
    "InfoNCELoss",
    "KLDistillLoss",
    "L1Penalty",
    "LCRONLoss",
    "LambdaLoss",
    "ListMLELoss",
    "Loss",
    "M3DistillLoss",
    "MarginMSELoss",
    "Metric",
    "MetricLoss",
    "NeuralNDCG",
    "OrdinalLoss",
    "PListMLELoss",
    "PairwiseHingeLoss",
    "PearsonDistillLoss",
    "PiRank",
    "PlackettLuceLoss",
    "PointwiseBCELoss",
    "PointwiseMSELoss",
    "Poly1SoftmaxLoss",
    "RankMSELoss",
    "RankNetLoss",
    "SmoothI",
    "SoftmaxLoss",
    "SpearmanLoss",
    "TopKCrossEntropyLoss",
    "TripletLoss",
    "UniqueSoftmaxLoss",
    "approx_mrr_loss",
    "approx_ndcg_loss",
    "constant_margin_mse_loss",
    "fenchel_young_loss",
    "info_nce_loss",
    "kl_distill_loss",
    "lambda_loss",
    "lcron_loss",
    "list_mle_loss",
    "m3_distill_loss",
    "margin_mse_loss",
    "metric_loss",
    "neural_ndcg_loss",
    "ordinal_loss",
    "p_list_mle_loss",
    "pairwise_hinge_loss",
    "pearson_distill_loss",
    "pi_rank_loss",
    "plackett_luce_loss",
    "pointwise_bce_loss",
    "pointwise_mse_loss",
    "poly1_softmax_loss",
    "rank_mse_loss",
    "ranknet_loss",
    "smooth_i_loss",
    "softmax_loss",
    "spearman_loss",
    "top_k_cross_entropy_loss",
    "triplet_loss",
    "unique_softmax_loss",
]
