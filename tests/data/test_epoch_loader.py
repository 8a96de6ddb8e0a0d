from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, EpochLoader


class Numbers:
    """Index i of epoch e as a list of one document named "e:i"."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: tuple[int, int]) -> CandidateList:
        return CandidateList("q", (f"{key[0]}:{key[1]}",), (1.0,))


def names(lists: Sequence[CandidateList]) -> list[str]:
    return [one.documents[0] for one in lists]


def loader(size: int = 23, *, batch_size: int = 4, shuffle: bool = True, **options: int) -> EpochLoader:
    return EpochLoader(Numbers(size), names, batch_size=batch_size, shuffle=shuffle, **options)  # pyright: ignore


def epochs(loader: EpochLoader, count: int) -> list[list[list[str]]]:
    return [list(loader) for _ in range(count)]  # pyright: ignore


def test_every_epoch_holds_every_list_once_in_another_order() -> None:
    first, second, third = epochs(loader(), 3)
    for epoch, batches in enumerate((first, second, third)):
        assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 3]
        assert sorted(itertools.chain(*batches)) == sorted(f"{epoch}:{index}" for index in range(23))
    orders = {tuple(name.split(":")[1] for batch in batches for name in batch) for batches in (first, second, third)}
    assert len(orders) == 3


def test_without_shuffling_the_order_stays() -> None:
    assert list(itertools.chain(*loader(shuffle=False))) == [f"0:{index}" for index in range(23)]


def test_the_global_random_state_has_no_part_and_is_left_alone() -> None:
    before = torch.get_rng_state()
    expected = epochs(loader(), 2)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(99)
    assert epochs(loader(), 2) == expected
    assert epochs(loader(seed=1), 2) != expected


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [0, 1, 5, 6, 7, 11, 12])
def test_a_stored_place_is_where_it_goes_on(stop: int, workers: int) -> None:
    undisturbed = [batch for epoch in epochs(loader(workers=workers), 3) for batch in epoch]
    stopped = loader(workers=workers)
    seen = list(itertools.islice(itertools.chain.from_iterable(iter(stopped) for _ in range(3)), stop))
    resumed = loader(workers=workers)
    resumed.load_state_dict(stopped.state_dict())
    rest = itertools.chain.from_iterable(iter(resumed) for _ in range(3))
    assert seen + list(itertools.islice(rest, 18 - stop)) == undisturbed


def test_an_iteration_broken_off_is_followed_by_the_next_epoch() -> None:
    one = loader()
    next(iter(one))
    assert next(iter(one)) == epochs(loader(), 2)[1][0]


def test_processes_share_a_shuffled_epoch() -> None:
    parts = [list(loader(rank=rank, world_size=4)) for rank in range(4)]
    assert [batch for round_ in zip(*parts, strict=True) for batch in round_] == list(loader())[:4]
    assert [len(loader(rank=rank, world_size=4)) for rank in range(4)] == [len(part) for part in parts]


@pytest.mark.parametrize(
    ("size", "batch_size", "world_size"), [(23, 4, 4), (9, 4, 2), (5, 1, 2), (4, 8, 4), (16, 4, 2)]
)
def test_processes_in_order_have_every_list_once_and_equally_many_batches(
    size: int, batch_size: int, world_size: int
) -> None:
    options = {"batch_size": batch_size, "shuffle": False, "world_size": world_size}
    parts = [list(loader(size, rank=rank, **options)) for rank in range(world_size)]
    assert sorted(itertools.chain(*itertools.chain(*parts))) == sorted(f"0:{index}" for index in range(size))
    assert {len(part) for part in parts} == {len(loader(size, rank=0, **options))}
    sizes = [len(batch) for part in parts for batch in part]
    assert min(sizes) >= 1
    assert max(sizes) <= max(batch_size, 2)


@pytest.mark.parametrize("change", [{"size": 24}, {"batch_size": 5}, {"seed": 3}, {"world_size": 2}])
def test_a_place_in_other_data_is_refused(change: dict) -> None:
    with pytest.raises(InputError, match="the checkpoint stopped in other data"):
        loader(**change).load_state_dict(loader().state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "0 lists in batches of 4 give no batch"),
        ({"size": 5, "world_size": 3}, "5 lists in batches of 4 give no batch to each of 3 processes"),
        (
            {"size": 2, "world_size": 3, "shuffle": False},
            "2 lists in batches of 4 give no batch to each of 3 processes",
        ),
        ({"batch_size": 0}, "batch_size=0"),
        ({"workers": -1}, "workers=-1"),
    ],
)
def test_loaders_that_cannot_be(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        loader(**options)


class Broken(Numbers):
    """Lists that cannot be read."""

    def __init__(self, size: int, error: Exception) -> None:
        super().__init__(size)
        self.error = error

    def __getitem__(self, key: tuple[int, int]) -> CandidateList:
        raise self.error


@pytest.mark.parametrize(
    "error", [InputError("line 3: no query\nin the second file"), FileNotFoundError(2, "No such file", "a.png")]
)
def test_an_error_of_a_worker_is_the_one_it_raised(error: Exception) -> None:
    lists = Broken(4, error)
    broken = EpochLoader(lists, names, batch_size=2, shuffle=False, workers=1)  # pyright: ignore
    with pytest.raises(type(error)) as raised:
        next(iter(broken))
    broken.close()
    assert type(raised.value) is type(error)
    assert str(raised.value) == str(error)
    assert "Traceback" in str(raised.value.__cause__), "where it came from is still told"
