"""Late-interaction scores."""

from rankgrad.ops.maxsim.api import Layout, maxsim, maxsim_packed

__all__ = ["Layout", "maxsim", "maxsim_packed"]
