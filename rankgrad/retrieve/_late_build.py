"""A collection of texts made into an index of token embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rankgrad._modes import frozen
from rankgrad.retrieve._late_encoding import LateInteractionTextEncoder, encoded
from rankgrad.retrieve._late_index import LateIndex

# Documents that residuals are fitted to; where there are more, these are encoded twice.
_SAMPLE = 4096


def built(
    like: LateIndex, encoder: LateInteractionTextEncoder, texts: Sequence[str], *, seed: int, progress: bool
) -> LateIndex:
    """An index of the settings of another with these texts.

    Args:
        like: whose settings; its documents stay out.
        encoder: makes the token embeddings, without gradients and dropout.
        texts: the documents.
        seed: of what fitting a codec draws.
        progress: show a bar on stderr.
    """
    # An index outlives the caller's inference mode, whose tensors could not be loaded over or trained beside.
    with torch.inference_mode(False), frozen(encoder):
        if not like.tokens.is_fitted_to_a_sample:
            return like.anew(encoded(encoder, texts, progress=progress), sample=None, total=0, seed=seed)
        share = -(-len(texts) // _SAMPLE)
        sample = list(encoded(encoder, texts[::share], progress=progress))
        parts = sample if share == 1 else encoded(encoder, texts, progress=progress)
        tokens = torch.cat([part.embeddings for part in sample])
        return like.anew(parts, sample=tokens, total=share * len(tokens), seed=seed)
