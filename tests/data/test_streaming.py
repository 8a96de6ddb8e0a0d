"""Streamed lists: an order by seed and epoch, shards that share it, a bounded number of lines in memory."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader

from rankgrad._checks import InputError
from rankgrad.data import (
    CandidateList,
    ListDataModule,
    ListsFile,
    StreamedLists,
    StreamLoader,
    read_lists,
    stream_lists,
)
from rankgrad.data._lines import Line
from rankgrad.tokens import PairTokenizer

FORKS = "fork" in multiprocessing.get_all_start_methods()
LISTS = 23


def line(number: int) -> str:
    return json.dumps({"query": f"q{number}", "documents": ["open a file", "read"], "labels": [1, 0]})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lists.jsonl"
    path.write_text("".join(f"{line(number)}\n" for number in range(LISTS)))
    return path


def queries(lists: Any) -> list[str]:
    return [one.query for one in lists]


def names(batch: Any) -> list[str]:
    return [one.query for one in batch]


def test_each_epoch_is_a_permutation_that_seed_and_epoch_decide(file: Path) -> None:
    one, other = stream_lists(file, buffer=8), stream_lists(file, buffer=8, seed=1)
    epochs = [queries(one) for _ in range(3)]
    assert all(Counter(epoch) == Counter(queries(read_lists(file))) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert queries(stream_lists(file, buffer=8)) == epochs[0]
    assert queries(other) != epochs[0]
    assert queries(stream_lists(file, buffer=1)) == queries(read_lists(file))


def test_a_whole_buffer_reaches_every_place(file: Path) -> None:
    lists = stream_lists(file, buffer=LISTS)
    first = {queries(lists)[0] for _ in range(60)}
    # Of 23 equally likely ones some 21.4 are expected among 60.
    assert len(first) > 15


def test_no_more_lines_are_held_than_the_buffer(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: Counter[str] = Counter()
    most: list[int] = []

    def lines(path: Path) -> Iterator[Line]:
        for number in range(400):
            made = Line(line(number), f"{path}:{number}")
            alive["lines"] += 1
            weakref.finalize(made, alive.subtract, ["lines"])
            most.append(alive["lines"])
            yield made

    monkeypatch.setattr("rankgrad.data.streaming.read_lines", lines)
    assert len(queries(stream_lists(file, buffer=10))) == 400
    # The buffer, the line that is read, the one handed out.
    assert 10 <= max(most) <= 12


@pytest.mark.parametrize("buffer", [1, 6])
def test_shards_share_an_epoch_and_leave_nothing_out(file: Path, buffer: int) -> None:
    shards = [queries(stream_lists(file, buffer=buffer, rank=rank, world_size=3)) for rank in range(3)]
    whole = queries(stream_lists(file, buffer=buffer))
    assert shards == [whole[rank::3] for rank in range(3)]


@pytest.mark.skipif(not FORKS, reason="the set holds functions of this module")
def test_workers_of_a_loader_share_it_too(file: Path) -> None:
    loader = DataLoader(stream_lists(file, buffer=6), batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert queries(loader) == queries(stream_lists(file, buffer=6))


@pytest.mark.parametrize("stop", [0, 5, LISTS])
def test_a_stored_place_goes_on_where_it_was(file: Path, stop: int) -> None:
    lists, whole = stream_lists(file, buffer=6), stream_lists(file, buffer=6)
    epochs = [queries(whole), queries(whole)]
    seen = []
    if stop:
        reading = iter(lists)
        seen = [next(reading).query for _ in range(stop)]
    again = stream_lists(file, buffer=6)
    again.load_state_dict(lists.state_dict())
    assert seen + queries(again) == epochs[0]
    assert queries(again) == epochs[1]
    with pytest.raises(InputError, match="seed 0 then, 1 now"):
        stream_lists(file, buffer=6, seed=1).load_state_dict(lists.state_dict())


def test_only_what_is_handed_out_is_parsed(file: Path) -> None:
    file.write_text(file.read_text() + "{\n")
    shard = stream_lists(file, buffer=1, rank=0, world_size=2)
    assert len(queries(shard)) == 12
    with pytest.raises(InputError, match=r"lists.jsonl:24: not valid JSON"):
        queries(stream_lists(file, buffer=4))


def test_several_files_plain_and_packed_are_permuted(tmp_path: Path) -> None:
    triple = {"query": "q0", "positive": "open a file", "negative": ["read"], "teacher_scores": [2, 1]}
    for name in "abcd":
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt") as packed:
            packed.write(json.dumps({**triple, "query": name}) + "\n")
    files = [tmp_path / f"{name}.jsonl.gz" for name in "abcd"]
    lists = stream_lists(files, layout="triples", buffer=2)
    orders = {"".join(queries(lists)) for _ in range(12)}
    assert len(orders) > 6
    # In two places of a buffer "d" cannot come first unless its file does.
    assert any(order.startswith("d") for order in orders)
    assert len(lists) == 4
    assert next(iter(lists)).teacher_scores == (2.0, 1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda file: stream_lists(file, buffer=0), "buffer=0"),
        (lambda file: stream_lists(file, layout="rows"), "layout='rows'"),
        (lambda file: stream_lists([]), "files: none given"),
        (lambda file: stream_lists(file, rank=2, world_size=2), "rank=2"),
        (lambda file: StreamLoader(stream_lists(file), names, batch_size=0), "batch_size=0"),
        (lambda file: StreamLoader(stream_lists(file), names, batch_size=23, world_size=2), "no batch to each of 2"),
    ],
)
def test_what_cannot_be_streamed(file: Path, make: Callable[[Path], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(file)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl: no such file"):
        stream_lists("nowhere.jsonl")


def loader(file: Path, *, buffer: int = 6, batch_size: int = 4, **options: Any) -> StreamLoader:
    return StreamLoader(stream_lists(file, buffer=buffer), names, batch_size=batch_size, **options)


def test_batches_hold_an_epoch(file: Path) -> None:
    batches = list(loader(file))
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 3]
    assert [name for batch in batches for name in batch] == queries(stream_lists(file, buffer=6))
    assert len(loader(file)) == 6


def test_processes_make_equally_many_batches_of_one_order(file: Path) -> None:
    whole = list(loader(file))
    parts = [list(loader(file, rank=rank, world_size=4)) for rank in range(4)]
    assert parts == [[whole[rank]] for rank in range(4)]


@pytest.mark.skipif(not FORKS, reason="the loader holds functions of this module")
def test_workers_change_nothing_also_after_a_resume(file: Path) -> None:
    plain, worked = loader(file), loader(file, workers=2)
    first = iter(worked)
    seen = [next(first) for _ in range(3)]
    place = worked.state_dict()
    worked.close()
    assert place["yielded"] == 3
    resumed = loader(file, workers=1)
    resumed.load_state_dict(place)
    epochs = [list(plain), list(plain)]
    assert seen + list(resumed) == epochs[0]
    assert list(resumed) == epochs[1]


def test_a_place_at_the_end_of_an_epoch_is_the_start_of_the_next(file: Path) -> None:
    plain, again = loader(file), loader(file)
    list(plain)
    again.load_state_dict(plain.state_dict())
    assert list(again) == list(plain)
    with pytest.raises(InputError, match="batch_size 4 then, 5 now"):
        loader(file, batch_size=5).load_state_dict(plain.state_dict())


def test_the_data_module_streams_what_the_source_says(file: Path, pair_tokenizer: PairTokenizer) -> None:
    source = ListsFile(file, validation=file, streaming=True, buffer=5)
    data = ListDataModule(source, batch_size=4, tokenizer=pair_tokenizer, seed=3)
    data.setup()
    assert isinstance(data.train_lists, StreamedLists)
    batches = data.train_dataloader()
    assert isinstance(batches, StreamLoader)
    assert sum(len(batch.labels) for batch in batches) == LISTS
    assert batches.state_dict()["seed"] == 3
    assert [len(batch.labels) for batch in data.val_dataloader()] == [8, 8, 7]
    file.write_text("\n")
    with pytest.raises(InputError, match="empty"):
        ListDataModule(source, tokenizer=pair_tokenizer).setup()


def test_rows_may_come_from_anywhere() -> None:
    lists = StreamedLists(lambda generator: range(9), lambda row: CandidateList(f"q{row}", ("d",), (1.0,)), size=9)
    assert len(lists) == 9
    assert sorted(queries(lists)) == [f"q{row}" for row in range(9)]
