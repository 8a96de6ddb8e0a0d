"""How many documents hold each term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from rankgrad.tokens import LateInteractionTokenizer

_CHUNK = 1024


def document_frequencies(tokenizer: LateInteractionTokenizer, texts: Sequence[str], width: int) -> Tensor:
    """Documents that hold each term, int64 ``[width]``; tokens are in memory a chunk of texts at a time.

    The words of a prompt or prefix are in no document.
    """
    tokenizer = replace(tokenizer, rules=replace(tokenizer.rules, document_prefix="", document_prompt=""))
    counts = np.zeros(width, dtype=np.int64)
    for start in range(0, len(texts), _CHUNK):
        tokens = tokenizer.documents(texts[start : start + _CHUNK])
        rows, columns = np.nonzero(tokens.attention_mask)
        held = np.unique(np.stack([rows, tokens.input_ids[rows, columns]]), axis=1)[1]
        counts += np.bincount(held, minlength=width)
    return torch.from_numpy(counts)
