"""Files of the retrievers that share an analyzer, a vocabulary and postings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from rankgrad._checks import InputError
from rankgrad._index_files import read_index, write_index
from rankgrad.retrieve._inverted import check_postings
from rankgrad.retrieve.analyzer import Analyzer, Terms
from rankgrad.retrieve.postings import Postings

POSTINGS = ("indptr", "rows", "weights")

Module = TypeVar("Module", bound=nn.Module)


def set_index(module: Any, terms: Terms, postings: Postings) -> None:
    """Give a new module its vocabulary, its number of documents, and the buffers that :func:`search` reads."""
    module.vocabulary = {term: position for position, term in enumerate(terms.vocabulary)}
    module.documents = len(terms.lengths)
    for name, array in zip(POSTINGS, postings, strict=True):
        module.register_buffer(name, torch.from_numpy(array))


def save_lexical(module: Any, folder: str | Path, kind: str, *, buffers: Sequence[str], options: Sequence[str]) -> None:
    """Write postings, further ``buffers`` and the plain attributes ``options``, as a whole or not at all."""
    settings = {name: getattr(module, name) for name in options} | {"documents": module.documents}
    settings |= {"analyzer": module.analyzer.to_dict(), "vocabulary": list(module.vocabulary)}
    write_index(folder, kind, {name: getattr(module, name) for name in (*POSTINGS, *buffers)}, settings)


def load_lexical(
    cls: type[Module], folder: str | Path, kind: str, *, buffers: Sequence[str], options: Sequence[str]
) -> Module:
    """Read what :func:`save_lexical` wrote.

    Raises:
        FileNotFoundError: when a file is missing.
        InputError: when a file is cut off or damaged, or the index is of another kind.
    """
    tensors, settings = read_index(folder, kind)
    module: Any = cls.__new__(cls)
    nn.Module.__init__(module)
    try:
        for name in (*options, "documents"):
            setattr(module, name, settings[name])
        module.analyzer = Analyzer(**settings["analyzer"])
        module.vocabulary = {term: position for position, term in enumerate(settings["vocabulary"])}
        for name in (*POSTINGS, *buffers):
            module.register_buffer(name, tensors[name])
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder} is no complete {kind} index ({error!r}): write it again") from error
    check_postings(folder, module.vocabulary, module)
    return module
