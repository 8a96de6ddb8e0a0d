"""A bundle behind HTTP, without torch: batches across requests, limits, health and metrics.

Needs the extra ``serve``; ``rankgrad serve`` and ``python -m rankgrad.deploy.serve`` start it.
"""

from rankgrad.deploy.serve.run import run_server
from rankgrad.deploy.serve.settings import ServerSettings

__all__ = ["ServerSettings", "run_server"]
