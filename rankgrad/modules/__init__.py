"""The parts that models are made of."""

from rankgrad.modules.feature_transform import FeatureTransform
from rankgrad.modules.max_sim import MaxSim
from rankgrad.modules.soft_ranking import SoftRank, SoftSort, SoftTopK

__all__ = ["FeatureTransform", "MaxSim", "SoftRank", "SoftSort", "SoftTopK"]
