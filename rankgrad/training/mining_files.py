"""The files of a mining run: shards while it goes on, lists and triples when it is done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rankgrad._checks import InputError
from rankgrad._files import atomic_file, check_replaceable
from rankgrad.data import Task
from rankgrad.training.mining import HardNegatives, MinedList

SETTINGS, SUMMARY, LISTS, TRIPLES = "mining.json", "summary.json", "lists.jsonl", "triples.jsonl"
_SHARDS = "shards"


@dataclass
class MiningSummary:
    """What a mining run found.

    Args:
        queries: those with a relevant document.
        wanted: negatives a query.
        enough: queries with that many.
        too_few: queries with fewer, but one at least.
        without: queries with none, which are in no file.
        negatives: all of them.
        triples: lines of the file of triples, one for each positive.
        dropped: candidates each filter left out.
    """

    queries: int = 0
    wanted: int = 0
    enough: int = 0
    too_few: int = 0
    without: int = 0
    negatives: int = 0
    triples: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Count one query's record."""
        found = len(record["document_ids"]) - record["positives"]
        self.queries += 1
        self.enough += found >= self.wanted
        self.too_few += 0 < found < self.wanted
        self.without += found == 0
        self.negatives += found
        self.triples += record["positives"] if found else 0
        for name, count in record["dropped"].items():
            self.dropped[name] = self.dropped.get(name, 0) + count


def mine_to_folder(
    miner: HardNegatives,
    task: Task,
    folder: str | Path,
    *,
    settings: Mapping[str, Any],
    shard_size: int = 1000,
    overwrite: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> MiningSummary:
    """Mine a task's negatives into a folder, shard by shard; a second call goes on where the first was stopped.

    ``lists.jsonl`` has the layout of :func:`rankgrad.data.read_lists`, with ids besides; ``triples.jsonl``, one line a
    positive, that of :func:`rankgrad.data.read_triples`. Both appear when all is mined, whole. ``summary.json`` has the
    counts and ``mining.json`` the settings.

    Args:
        miner: finds the negatives.
        task: queries, judgements and documents.
        folder: new, empty, or of an earlier run.
        settings: what the result depends on, as JSON; a folder made with others is refused.
        shard_size: queries a shard; each is written as a whole or not at all.
        overwrite: begin anew in a folder of an earlier run.
        on_progress: called with the number of queries done.

    Raises:
        InputError: for a shard size below 1, a folder of other files or one made with other settings, or when no query
            got a negative.
    """
    if shard_size < 1:
        raise InputError(f"shard_size={shard_size}: mine at least one query a shard")
    folder = Path(folder)
    _prepare(folder, json.loads(json.dumps({**settings, "shard_size": shard_size})), overwrite)
    if all((folder / name).is_file() for name in (SUMMARY, LISTS, TRIPLES)):
        return _read_summary(folder / SUMMARY)
    shards = []
    for start in range(0, len(task.queries), shard_size):
        shards.append(folder / _SHARDS / f"{start // shard_size:06d}.jsonl")
        part = task.queries.select(task.queries.ids[start : start + shard_size])
        if not shards[-1].is_file():
            qrels = {query: task.qrels[query] for query in part.ids}
            _write_shard(shards[-1], miner(Task(task.name, task.documents, part, qrels)))
        if on_progress is not None:
            on_progress(start + len(part))
    summary = _merge(shards, folder, miner.negatives)
    shutil.rmtree(folder / _SHARDS, ignore_errors=True)
    return summary


def _prepare(folder: Path, settings: dict[str, Any], overwrite: bool) -> None:
    check_replaceable(folder, SETTINGS, in_place=True)
    before = folder / SETTINGS
    if before.is_file() and not overwrite:
        try:
            there = json.loads(before.read_text(encoding="utf-8"))
        except ValueError:
            raise InputError(f"{before} is damaged: name another folder, or overwrite this one") from None
        differing = sorted(name for name in {*there, *settings} if there.get(name) != settings.get(name))
        if differing:
            raise InputError(
                f"{folder} was mined with another {', '.join(differing)}: name another folder, or overwrite it"
            )
        return
    for name in (SUMMARY, LISTS, TRIPLES):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / _SHARDS, ignore_errors=True)
    with atomic_file(before) as temporary:
        temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _write_shard(path: Path, mined: list[MinedList]) -> None:
    with atomic_file(path) as temporary, _open(temporary) as file:
        for one in mined:
            _put(file, _record(one))


def _record(one: MinedList) -> dict[str, Any]:
    record: dict[str, Any] = {"query_id": one.query, "query": one.text}
    record["document_ids"] = [*one.positives, *one.negatives]
    if one.candidates is not None:
        record |= {"documents": one.candidates.documents, "labels": one.candidates.labels}
        if one.candidates.teacher_scores is not None:
            record["teacher_scores"] = one.candidates.teacher_scores
    return {**record, "positives": len(one.positives), "dropped": dict(one.dropped)}


def _merge(shards: list[Path], folder: Path, wanted: int) -> MiningSummary:
    summary = MiningSummary(wanted=wanted)
    with ExitStack() as stack:
        opened = [
            stack.enter_context(_open(stack.enter_context(atomic_file(folder / name)))) for name in (LISTS, TRIPLES)
        ]
        for record in _records(shards):
            summary.add(record)
            positives, _ = record.pop("positives"), record.pop("dropped")
            if "documents" in record:
                _put(opened[0], record)
                for place in range(positives):
                    _put(opened[1], _triple(record, place, positives))
        if not summary.negatives:
            why = ", ".join(f"{name} {count}" for name, count in summary.dropped.items()) or "no candidate was found"
            raise InputError(
                f"none of {summary.queries} queries got a negative (dropped: {why}): widen ranks, loosen filters"
            )
    with atomic_file(folder / SUMMARY) as temporary:
        temporary.write_text(json.dumps(asdict(summary), indent=2) + "\n", encoding="utf-8")
    return summary


def _records(shards: list[Path]) -> Iterator[dict[str, Any]]:
    for shard in shards:
        with shard.open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def _triple(record: dict[str, Any], place: int, positives: int) -> dict[str, Any]:
    documents = record["documents"]
    triple = {"query": record["query"], "positive": documents[place], "negative": documents[positives:]}
    scores = record.get("teacher_scores")
    return triple if scores is None else {**triple, "teacher_scores": [scores[place], *scores[positives:]]}


def _open(path: Path) -> TextIO:
    """For writing JSON: what UTF-8 cannot hold, half a surrogate pair, is written as JSON's escape of it."""
    return path.open("w", encoding="utf-8", errors="backslashreplace")


def _put(file: TextIO, record: dict[str, Any]) -> None:
    file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _read_summary(path: Path) -> MiningSummary:
    return MiningSummary(**json.loads(path.read_text(encoding="utf-8")))
