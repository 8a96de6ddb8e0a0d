"""rankgrad: PyTorch-native, differentiable ranking; every stage of a search pipeline is an ``nn.Module``."""

__version__ = "0.1.0"
