"""ONNX Runtime's tools for graphs, kept from changing this process's logging."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from rankgrad._checks import require


@contextmanager
def quiet_tools() -> Iterator[None]:
    """Put back what these tools change on import and in use: the root logger's handlers and level.

    Below errors nothing is logged meanwhile; what they warn of is checked here. The folder that
    ``onnxruntime.transformers`` appends to ``sys.path`` stays: its modules look for each other there, now and later.

    Example:
        >>> before = list(logging.getLogger().handlers)
        >>> with quiet_tools():
        ...     logging.basicConfig(force=True)
        >>> logging.getLogger().handlers == before
        True
    """
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, root.manager.disable
    logging.disable(max(logging.WARNING, disabled))
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)


def require_tool(module: str) -> ModuleType:
    """Import a module of onnxruntime or onnxscript, or name the extra that brings it.

    Raises:
        MissingExtraError: without onnx, onnxruntime or onnxscript.
    """
    require("onnx", "onnx")
    with quiet_tools():
        return require(module, "onnx")
