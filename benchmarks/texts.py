"""Real words in exact token counts: the documentation of this Python, cut."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rankgrad._checks import InputError
from rankgrad.data import Task, pydoc_collection

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MODULES = ("json", "argparse", "collections", "logging", "email", "unittest", "asyncio", "http")


def documentation(*, quick: bool = False, split: str = "train") -> Task:
    """Summary lines as queries, the rest of the docstrings as documents; of a few modules only when ``quick``."""
    collection = pydoc_collection(standard_library=False, packages=_MODULES) if quick else pydoc_collection()
    return collection.task(split)


def exact_texts(tokenizer: Tokenizer, texts: tuple[str, ...], *, tokens: int, count: int) -> list[str]:
    """``count`` distinct texts of exactly ``tokens`` tokens each, special tokens not counted.

    The texts are read as one stream of words; a word that would overshoot is left out.

    Raises:
        InputError: when the texts do not hold enough words.
    """
    words = _words(texts)
    return [_exact_text(tokenizer, words, tokens) for _ in range(count)]


def cut(tokenizer: Tokenizer, text: str, tokens: int) -> str:
    """The text up to its first ``tokens`` tokens."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    return text if len(encoding.ids) <= tokens else text[: encoding.offsets[tokens - 1][1]]


def _words(texts: tuple[str, ...]) -> Iterator[str]:
    return itertools.chain.from_iterable(text.split() for text in texts)


def _exact_text(tokenizer: Tokenizer, words: Iterator[str], tokens: int) -> str:
    chosen: list[str] = []
    left = tokens
    for word in words:
        length = len(tokenizer.encode(word, add_special_tokens=False).ids)
        if 0 < length <= left:
            chosen.append(word)
            left -= length
        if left == 0:
            return " ".join(chosen)
    raise InputError(f"the texts end before {tokens} tokens are found: pass more of them")
