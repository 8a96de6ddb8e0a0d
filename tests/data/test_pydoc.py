from __future__ import annotations

import hashlib
import importlib
import inspect
import io
import os
import re
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout

import pytest

from rankgrad._checks import InputError
from rankgrad.data import Collection, Pydoc, pydoc_collection
from rankgrad.data._docstrings import summary_and_body
from rankgrad.data._near_duplicates import distinct_rows


def digest(collection: Collection) -> str:
    """A hash of everything in a collection."""
    everything = (collection.documents.ids, collection.documents.texts, collection.queries.texts, collection.qrels)
    return hashlib.sha256(repr(everything).encode()).hexdigest()


@pytest.fixture(scope="module")
def whole() -> Collection:
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed), warnings.catch_warnings():
        warnings.simplefilter("error")
        collection = pydoc_collection()
    assert printed.getvalue() == ""
    return collection


def test_enough_pairs_in_the_right_shares(whole: Collection) -> None:
    sizes = {split: len(qrels) for split, qrels in whole.qrels.items()}
    total = sum(sizes.values())
    assert total == len(whole.documents) == len(whole.queries) >= 1_500
    shares = {"train": 0.6, "validation": 0.1, "test": 0.3}
    assert {split: size / total for split, size in sizes.items()} == pytest.approx(shares, abs=0.05)


def test_every_task_judges_each_query_once_over_one_corpus(whole: Collection) -> None:
    for split in whole.splits:
        task = whole.task(split)
        assert task.documents is whole.documents
        assert task.qrels == {query: {query: 1} for query in task.queries.ids}


def test_no_module_is_on_two_sides(whole: Collection) -> None:
    def home(name: str) -> str:
        """The longest importable prefix of an object's name."""
        parts = name.split(".")
        return next(
            prefix for end in range(len(parts), 0, -1) if (prefix := ".".join(parts[:end])) in sys.modules or end == 1
        )

    sides = {split: {home(name) for name in qrels} for split, qrels in whole.qrels.items()}
    assert not sides["train"] & sides["test"]
    assert not sides["train"] & sides["validation"]
    assert not sides["validation"] & sides["test"]


def test_texts_follow_the_recipe(whole: Collection) -> None:
    for name, query, document in zip(whole.queries.ids, whole.queries.texts, whole.documents.texts, strict=True):
        assert len(document) >= 40, name
        assert len(re.findall(r"[A-Za-z]{2,}", query)) >= 3, name
        assert query.rstrip(".!?: ").lower() not in document.lower(), name
        assert not re.search(r" at 0x[0-9a-f]{6,}", query + document), name
        assert not any(part.startswith("_") for part in name.split(".")), name


@pytest.mark.parametrize("name", ["os.path.join", "statistics.median", "json.dump", "codecs", "io.StringIO"])
def test_ids_are_the_names_people_use(whole: Collection, name: str) -> None:
    assert name in whole.documents
    try:
        value = importlib.import_module(name)
    except ModuleNotFoundError:
        value = getattr(importlib.import_module(name.rpartition(".")[0]), name.rpartition(".")[2])
    summary = " ".join(str(value.__doc__).split())
    assert whole.queries.text(name) in summary


def test_another_process_gives_the_same_collection(whole: Collection) -> None:
    program = "\n".join(
        ("import hashlib", "from rankgrad.data import Collection, pydoc_collection", inspect.getsource(digest))
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{program}print(digest(pydoc_collection()))"],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout == f"{digest(whole)}\n"


def test_packages_are_added_under_their_own_names() -> None:
    collection = Pydoc(standard_library=False, packages=["hypothesis"]).load()
    assert {name.split(".")[0] for name in collection.documents.ids} == {"hypothesis"}
    assert len(collection.documents) > 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"packages": ["no_such_package"]}, "'no_such_package' does not import here"),
        ({"standard_library": False}, "no documented object found"),
    ],
)
def test_nothing_to_read_says_so(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pydoc_collection(**options)


def test_a_bare_string_is_no_list_of_packages() -> None:
    with pytest.raises(TypeError, match=r"pass \['numpy'\]"):
        pydoc_collection(packages="numpy")


@pytest.mark.parametrize(
    ("docstring", "summary", "body"),
    [
        ("Sort a list.\n\nIn place.", "Sort a list.", "In place."),
        ("Sort a list\n    in place.\n\n    Stable.", "Sort a list in place.", "Stable."),
        ("Sort a list. Stable.", "Sort a list.", "Stable."),
        ("range(stop) -> range\nrange(a,\n  b) -> range\n\nMake a range.\nLazy.", "Make a range.", "Lazy."),
        ("f(x) sorts x.\n\nStable.", "f(x) sorts x.", "Stable."),
        ("Title\n=====\n\nThe rest.", "Title", "The rest."),
        ("Sort x, e.g. a list.\n\nStable.", "Sort x, e.g. a list.", "Stable."),
        ("Sort a list.\n\nTo sort a list, call it. SORT A  LIST!", "Sort a list.", "To , call it."),
        ("Show <x at 0x7f00>.\n\nNo address.", "Show <x>.", "No address."),
        ("Alone.", "Alone.", ""),
        ("f(x)", "", ""),
    ],
)
def test_docstrings_fall_in_two(docstring: str, summary: str, body: str) -> None:
    assert summary_and_body(docstring) == (summary, body)


def test_near_duplicates_are_those_of_the_definition() -> None:
    texts = [f"{a} {b} {c} common words here" for a in "xyz" for b in "pqr" for c in "mn"] + [
        "x p m common words here!"
    ]
    for threshold in (0.4, 0.6, 0.8, 1.0):
        kept: list[int] = []
        for row, text in enumerate(texts):
            bag = set(re.findall(r"\w+", text))
            bags = [set(re.findall(r"\w+", texts[other])) for other in kept]
            if all(len(bag & other) / len(bag | other) < threshold for other in bags):
                kept.append(row)
        assert distinct_rows(texts, threshold=threshold) == kept
