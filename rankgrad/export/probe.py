"""What an exported graph is compared on: shapes that have broken exports before, and a few real texts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rankgrad.prompts import PromptTokenizer
from rankgrad.tokens import LateInteractionTokenizer, PairTokenizer, Tokens


class Shape(NamedTuple):
    """A batch of random tokens: rows, columns, and how many columns of each row but the first are padding."""

    batch: int
    tokens: int
    padding: int = 0


def shapes(longest: int) -> tuple[Shape, ...]:
    """The shapes every export is compared on, none longer than ``longest`` tokens."""
    wanted = (
        Shape(1, 3),
        Shape(1, 17),
        Shape(2, 8, padding=3),
        Shape(3, 31, padding=27),
        Shape(5, 13),
        Shape(7, 64, padding=9),
        Shape(1, longest),
        Shape(2, longest, padding=longest - 4),
    )
    return tuple(dict.fromkeys(shape for shape in wanted if shape.tokens <= longest))


def random_tokens(
    tokenizer: PairTokenizer | LateInteractionTokenizer | PromptTokenizer, shape: Shape, *, seed: int = 0
) -> Tokens:
    """Random words of the vocabulary in a shape, the first third of each row in segment 0."""
    generator = np.random.default_rng(seed)
    size = (shape.batch, shape.tokens)
    input_ids = generator.integers(0, tokenizer.tokenizer.get_vocab_size(), size)
    lengths = np.full((shape.batch, 1), shape.tokens - shape.padding)
    lengths[0] = shape.tokens
    columns = np.arange(shape.tokens)[None, :]
    real = columns < lengths
    segments = (columns >= np.maximum(lengths // 3, 1)) & real
    return Tokens(np.where(real, input_ids, tokenizer.pad_id), real.astype(np.int64), segments.astype(np.int64), real)


def padded_left(tokens: Tokens) -> Tokens:
    """The same rows with their padding in front.

    Example:
        >>> row = np.array([[7, 8, 0]])
        >>> padded_left(Tokens(row, np.array([[1, 1, 0]]), 0 * row, row > 0)).input_ids.tolist()
        [[0, 7, 8]]
    """
    width = tokens.input_ids.shape[1]
    places = (np.arange(width) - (width - tokens.lengths)[:, None]) % width
    return Tokens(*(np.take_along_axis(field, places, axis=1) for field in tokens))


_PASSAGES = """
A binary search halves the range at each step, so it needs a sorted list and about twenty comparisons for a million
items. It fails without notice where the list is not in order.

Bread dough rises because yeast turns sugar into carbon dioxide, which the gluten holds as bubbles. Warmth makes it
faster; salt slows it down. A long rest in a cold place gives more flavour than a short one in a warm place, and the
crust turns darker, as more sugar is set free from the starch.

The tide is high twice a day in most harbours.

To copy a folder with all that is in it, call shutil.copytree(source, target). It raises FileExistsError when the
target is there already, unless dirs_exist_ok is true.

Glaciers carry stones from far away and leave them where the ice melts. Geologists read from such stones which way
the ice moved, and from the layers of clay in front of it how many summers it took to withdraw.

Sorting is stable when items that compare equal keep the order they came in. Merge sort is stable, quicksort is not.

A violin is tuned in fifths: G, D, A and E.

Heat pumps move heat from outside to inside with a compressor. They give three to four times the energy they take,
but the ratio falls as it gets colder outside, so a house in a cold place needs a larger pump or a second source.

Rain forms when droplets in a cloud grow too heavy to float. In warm clouds they collide and merge; in cold ones ice
crystals grow at the expense of droplets, fall, and melt on the way.

os.walk goes through a folder and everything below it and gives the names of the folders and files of each. Changing
the list of folder names in place decides where it goes next.

The moon pulls the water of the sea towards it; a second bulge stands on the far side, as the earth itself is pulled
away from that water. The earth turns below both, and so the water rises and falls twice a day.

Sourdough keeps for a week.
"""
_QUERIES = (
    "how do I copy a directory with its files",
    "why does the sea rise and fall twice a day",
    "what makes bread rise",
    "which sorting algorithms keep the order of equal items",
    "rain",
)


def probe_lists() -> list[tuple[str, tuple[str, ...]]]:
    """Each query with every passage: what scores are compared on where the caller has no texts."""
    passages = tuple(" ".join(passage.split()) for passage in _PASSAGES.split("\n\n"))
    return [(query, passages) for query in _QUERIES]
