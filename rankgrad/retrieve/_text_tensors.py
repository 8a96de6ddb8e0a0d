"""Texts as tensors, so that they lie beside an index in one file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from rankgrad._checks import InputError


def pack_texts(texts: Sequence[str]) -> dict[str, Tensor]:
    """UTF-8 bytes end to end, and where each text begins.

    Example:
        >>> packed = pack_texts(["ab", "", "é"])
        >>> packed["offsets"].tolist(), unpack_texts(packed)
        ([0, 2, 2, 4], ('ab', '', 'é'))
    """
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    offsets = torch.tensor([0, *(len(text) for text in encoded)]).cumsum(0)
    content = bytearray(b"".join(encoded))
    bytes_ = torch.frombuffer(content, dtype=torch.uint8) if content else torch.zeros(0, dtype=torch.uint8)
    return {"bytes": bytes_, "offsets": offsets}


def unpack_texts(packed: dict[str, Tensor]) -> tuple[str, ...]:
    """The texts of :func:`pack_texts`.

    Raises:
        InputError: for bytes that are no such texts.
    """
    content, offsets = packed["bytes"].numpy().tobytes(), packed["offsets"].tolist()
    try:
        return tuple(content[start:end].decode("utf-8", "surrogatepass") for start, end in pairwise(offsets))
    except UnicodeDecodeError as error:
        raise InputError(f"the texts of the index are damaged ({error}): write the index again") from error
