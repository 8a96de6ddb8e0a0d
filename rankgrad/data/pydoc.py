"""The collection every Python carries: its own documentation."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rankgrad._checks import InputError
from rankgrad.data._docstrings import summary_and_body
from rankgrad.data._near_duplicates import distinct_rows
from rankgrad.data._public_objects import PublicObject, package_modules, public_objects, quiet, standard_library_modules
from rankgrad.data.records import Collection, Qrels, Texts
from rankgrad.data.splits import hashed_share

_SHORTEST_BODY = 40
_FEWEST_WORDS = 3
_NO_SENTENCE = re.compile(r">>>|\.\. |->|- |\(|(Args|Parameters|Returns):|[\w, ]+ = ")
_PACKAGE_MODULES = 300
"""Most modules read of one package: a count, because a time limit would give each machine another collection."""


class _Pair(NamedTuple):
    name: str
    module: str
    summary: str
    body: str


def pydoc_collection(*, standard_library: bool = True, packages: Sequence[str] = ()) -> Collection:
    """Summary lines of docstrings as queries, the rest of each docstring as the document to find.

    Every public module, class, function and method with a summary and at least 40 characters more gives a pair. The
    summary is taken out of its document, near-duplicates are dropped, and the modules are split by a hash of their name
    (about 60/10/30 % train/validation/test), so that no module is on two sides. All documents are one corpus. The same
    Python (and package versions) gives the same collection at each run.

    Args:
        standard_library: take the modules of the standard library.
        packages: names of installed packages whose modules are taken as well; they are imported.

    Returns:
        a collection with the splits "train", "validation" and "test"; ids are dotted names.

    Raises:
        InputError: for a package that does not import, when nothing is asked for, or where docstrings are stripped.

    Example:
        >>> collection = pydoc_collection(standard_library=False, packages=["json"])
        >>> collection.queries.text("json.dump"), split_of("json")
        ('Serialize ``obj`` as a JSON formatted stream to ``fp`` ...', 'train')
    """
    if isinstance(packages, str):
        raise TypeError(f"packages: expected a sequence of names, got one string; pass [{packages!r}]")
    if sys.flags.optimize >= 2:
        raise InputError("this Python runs with -OO, which strips the docstrings: run it without")
    with quiet():
        pairs = list(_pairs(_objects(standard_library, packages)))
    kept = _without_near_duplicates(pairs)
    if not kept:
        raise InputError("no documented object found: pass standard_library=True or name packages with docstrings")
    ids = tuple(pair.name for pair in kept)
    qrels: dict[str, Qrels] = {"train": {}, "validation": {}, "test": {}}
    for pair in kept:
        qrels[split_of(pair.module)][pair.name] = {pair.name: 1}
    sources = [f"Python {sys.version.split()[0]}"] * standard_library + list(packages)
    return Collection(
        "pydoc",
        documents=Texts(ids, tuple(pair.body for pair in kept)),
        queries=Texts(ids, tuple(pair.summary for pair in kept)),
        qrels=qrels,
        notes=f"docstrings of {', '.join(sources)}; split by module",
    )


def split_of(module: str) -> str:
    """The split of a module, by the hash of its dotted name: 60 % train, 10 % validation, 30 % test.

    Example:
        >>> split_of("os.path"), split_of("statistics")
        ('test', 'train')
    """
    share = hashed_share(module)
    return "train" if share < 0.6 else "validation" if share < 0.7 else "test"


def _objects(standard_library: bool, packages: Sequence[str]) -> Iterator[PublicObject]:
    if standard_library:
        yield from public_objects(standard_library_modules(), sys.stdlib_module_names)
    for package in packages:
        modules = package_modules(package, limit=_PACKAGE_MODULES)
        if not modules:
            raise InputError(f"packages: {package!r} does not import here: install it, or leave it out")
        yield from public_objects(modules, [package.split(".")[0]])


def _pairs(objects: Iterable[PublicObject]) -> Iterator[_Pair]:
    """The objects whose docstring has both a summary in words and a body."""
    seen = set()
    for found in objects:
        summary, body = summary_and_body(found.docstring)
        words = [] if _NO_SENTENCE.match(summary) else re.findall(r"[^\W\d_]{2,}", summary)
        if found.name not in seen and len(words) >= _FEWEST_WORDS and len(body) >= _SHORTEST_BODY:
            seen.add(found.name)
            yield _Pair(found.name, found.module, summary, body)


def _without_near_duplicates(pairs: list[_Pair]) -> list[_Pair]:
    """Of pairs whose documents, or whose queries, are alike, the one with the shortest name stays."""
    kept = sorted(pairs, key=lambda pair: (len(pair.name), pair.name))
    kept = [kept[row] for row in distinct_rows([pair.body for pair in kept], threshold=0.8)]
    kept = [kept[row] for row in distinct_rows([pair.summary for pair in kept], threshold=0.9)]
    return sorted(kept)
