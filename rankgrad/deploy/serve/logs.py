"""Log lines in JSON; none holds a text of a request."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

LOGGER = logging.getLogger("rankgrad.serve")


def log_json(level: int = logging.INFO) -> None:
    """Write what the server and uvicorn log to standard error, one JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_as_json)
    for name, lowest in ((LOGGER.name, level), ("uvicorn", max(level, logging.WARNING))):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(lowest)
        logger.propagate = False


def event(name: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Log an event with its numbers."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, name, extra={"fields": fields})


def fault(error: BaseException, **fields: object) -> None:
    """Log where an error came from: its type and the lines of code, not its message, which may quote a text."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    event("fault", level=logging.ERROR, error=type(error).__name__, frames=frames[-12:], **fields)


def _as_json(record: logging.LogRecord) -> bool:
    """Turn a record's message into JSON, in its place."""
    content = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "event": record.getMessage(),
        **record.__dict__.get("fields", {}),
    }
    if record.exc_info and record.exc_info[0]:
        content["error"] = record.exc_info[0].__name__
    record.msg, record.args, record.exc_info, record.exc_text = json.dumps(content), (), None, None
    return True
