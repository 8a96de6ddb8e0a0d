"""Late-interaction scores."""

from rankgrad.ops.maxsim.api import maxsim
from rankgrad.ops.maxsim.operands import Layout
from rankgrad.ops.maxsim.quantised import maxsim_quantised
from rankgrad.ops.maxsim.quantised_tokens import Int8Tokens, QuantisedTokens, ResidualTokens, SignTokens

__all__ = [
    "Int8Tokens",
    "Layout",
    "QuantisedTokens",
    "ResidualTokens",
    "SignTokens",
    "maxsim",
    "maxsim_quantised",
]
