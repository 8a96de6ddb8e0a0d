"""Texts as the runs of a graph, for what must see activations."""

from __future__ import annotations

import numpy as np

from rankgrad.export.parity import Lists
from rankgrad.export.reference import Ranker
from rankgrad.export.subject import Subject, ranker_of
from rankgrad.models import CrossEncoder
from rankgrad.tokens import LateInteractionTokenizer, Tokens

ROWS = 256


def calibration_runs(model: Ranker | Subject, lists: Lists, *, rows: int = ROWS) -> list[Tokens]:
    """Runs of one row without padding: pairs of a model that reads both, queries and documents of one that does not.

    Of a listwise model a run is one list.

    Args:
        model: whose tokenizer to use.
        lists: queries with documents.
        rows: runs to take at most, spread evenly over the lists.
    """
    batches, tokenizer = [], ranker_of(model).tokenizer
    for query, documents in lists:
        if isinstance(tokenizer, LateInteractionTokenizer):
            batches += [tokenizer.queries([query]), tokenizer.documents(documents)]
        else:
            batches.append(tokenizer([query] * len(documents), documents))
    ranker = ranker_of(model)
    whole = isinstance(ranker, CrossEncoder) and ranker.listwise
    found = [run for tokens in batches for run in tokens.groups(len(tokens.input_ids) if whole else 1)]
    spread = np.linspace(0, len(found) - 1, min(rows, len(found))).round().astype(int)
    return [found[place] for place in spread]
