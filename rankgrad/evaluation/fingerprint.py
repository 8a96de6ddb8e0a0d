"""Digests that differ when what was measured does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from rankgrad._digest import digest_of_texts
from rankgrad.data import Task


def task_fingerprint(task: Task) -> str:
    """Of the documents and queries of a task, their ids and their order; judgements have no part in what is answered.

    Example:
        >>> from rankgrad.data import Texts
        >>> one = Task("a", Texts(("1",), ("x",)), Texts(("q",), ("y",)), {"q": {"1": 1}})
        >>> other = Task("b", one.documents, Texts(("q",), ("z",)), one.qrels)
        >>> task_fingerprint(one) == task_fingerprint(other)
        False
    """
    sides = (side for part in (task.documents, task.queries) for side in (part.ids, part.texts))
    return digest_of_texts(text for side in sides for text in (str(len(side)), *side))


def folder_fingerprint(folder: str | Path) -> str:
    """Of the names and contents of all files in a folder, hidden ones left out."""
    folder = Path(folder)
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    shown = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    return digest_of_texts(text for name in shown for text in (name.as_posix(), file_fingerprint(folder / name)))


def settings_fingerprint(settings: Any) -> str:
    """Of plain values, however their keys are ordered.

    Raises:
        TypeError: for values that are not plain, such as a model.

    Example:
        >>> settings_fingerprint({"k": 1, "b": 2}) == settings_fingerprint({"b": 2, "k": 1})
        True
    """
    return digest_of_texts([json.dumps(settings, sort_keys=True, ensure_ascii=False)])


def file_fingerprint(path: Path) -> str:
    """SHA-256 of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
