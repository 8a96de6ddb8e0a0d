"""Whole lists of pairs for a model in which the candidates of a query see each other."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankgrad._checks import InputError
from rankgrad.data.collate import PairFeatures, TextTokens
from rankgrad.models._batches import whole_lists

# Activations of a training step grow with this; a list that is longer goes alone.
_TOKENS = 4096


def batches_of_lists(features: PairFeatures) -> Iterator[tuple[Tensor, TextTokens, Tensor]]:
    """Yield (places, padded batch, lists): all candidates of some lists, the longest first.

    A pair that two lists share is in the batch of each: its scores may differ.

    Shape:
        places: int64 ``[rows]``, the place of each row in the flattened ``[queries, candidates]``
        lists: int64 ``[rows]``, the list of each

    Raises:
        InputError: for features that do not say which slots are real.
    """
    if features.mask is None:
        raise InputError("listwise=True: the features have no mask; make them with rankgrad.data.ListCollate")
    width = max(group.input_ids.shape[1] for group in features.groups)
    rows = [[pad(field, (0, width - field.shape[1])) for field in group] for group in features.groups]
    tokens = TextTokens(*(torch.cat(field) for field in zip(*rows, strict=True)))
    lengths = tokens.attention_mask.sum(1)
    sizes = (lengths[features.slots] * features.mask).sum(1).tolist()
    for batch in whole_lists(sizes, _TOKENS):
        chosen = torch.zeros_like(features.mask)
        chosen[batch] = features.mask[batch]
        places = chosen.flatten().nonzero()[:, 0]
        if not len(places):
            continue
        # Equal lengths side by side are one run of attention.
        found = lengths[features.slots.flatten()[places]]
        places = places[found.argsort(descending=True, stable=True)]
        chosen_rows = features.slots.flatten()[places]
        longest = int(found.max())
        batch_tokens = TextTokens(*(field[chosen_rows][:, :longest] for field in tokens))
        yield places, batch_tokens, places // features.slots.shape[1]
