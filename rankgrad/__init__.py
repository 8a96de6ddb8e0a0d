"""rankgrad: a PyTorch-native, differentiable ranking framework. Every stage of a search pipeline is an ``nn.Module``."""

__version__ = "0.1.0"
