"""A digest that tells collections of texts apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def digest_of_texts(texts: Iterable[str]) -> str:
    """SHA-256 that differs when a text, or the order of texts, does; lone surrogates are texts too.

    Example:
        >>> digest_of_texts(["ab", "c"]) == digest_of_texts(["a", "bc"])
        False
    """
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()
