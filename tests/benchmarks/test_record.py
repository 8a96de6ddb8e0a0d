"""What is written is what is read, and a file that breaks the schema is named; so is every committed one checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.machine import Environment
from benchmarks.measure import Spread
from benchmarks.plot import draw
from benchmarks.record import COLUMNS, path_for, read, row, write
from benchmarks.show import ratio, table
from rankgrad._checks import InputError

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
WHERE = Environment("A CPU, 2 cores", "3.11.7", "2.13.0", "1.32.0", "5.23.0", "absent", "abc1234", "2026-01-31")
ROWS = [
    row("rerank", "rankgrad torch", "10 candidates, 1 thread", "time a query", "ms", Spread(1.0, 1.5, 2.25), 7),
    row("rerank", "peer", "10 candidates, 1 thread", "time a query", "ms", Spread(2.0, 3.0, 4.0), 7),
    row("rerank", "peer", "10 candidates, 1 thread", "difference to torch", "", 1.25e-6),
]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = path_for(tmp_path / "results", "rerank", WHERE.machine)
    write(path, ROWS, WHERE)
    return path


def test_round_trip(written: Path) -> None:
    assert written.name == "rerank--a-cpu-2-cores.csv"
    assert read(written) == (ROWS, WHERE)
    assert list(written.parent.iterdir()) == [written]


def test_columns_are_those_documented() -> None:
    documented = (RESULTS.parent / "README.md").read_text(encoding="utf-8")
    assert [name for name in COLUMNS if f"`{name}`" not in documented] == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("provider", "who", ":1: the columns"),
        ("1,1.5,2.25", "1,9,2.25", ":2: expected p20 <= p50 <= p80"),
        ("1,1.5,2.25", "1,nan,2.25", ":2: expected p20 <= p50 <= p80"),
        ("1,1.5,2.25", "1,fast,2.25", ":2: could not convert"),
        ("2,3,4,7", "2,3,4,0", ":3: expected"),
        ("rerank,rankgrad torch", "rerank,", ":2: .* some empty"),
        ("rerank,rankgrad torch", "rerank,peer", "is there twice"),
        ("abc1234", "", "some empty"),
    ],
)
def test_a_broken_file_is_named(written: Path, old: str, new: str, message: str) -> None:
    text = written.read_text(encoding="utf-8")
    assert old in text
    written.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read(written)


def test_rows_of_two_environments_are_refused(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    written.write_text(text.replace("abc1234", "other", 1), encoding="utf-8")
    with pytest.raises(InputError, match="2 environments"):
        read(written)


def test_a_file_without_rows_is_refused(written: Path) -> None:
    written.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="no rows"):
        read(written)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.csv")), ids=lambda path: path.stem)
def test_committed_results_keep_the_schema(path: Path) -> None:
    rows, where = read(path)
    assert path == path_for(RESULTS, rows[0].case, where.machine)
    assert {each.case for each in rows} == {rows[0].case}
    assert path.with_suffix(".png").is_file()


@pytest.mark.parametrize(
    ("ours", "theirs", "unit", "expected"),
    [
        (1.5, 3.0, "ms", "0.50 (better)"),
        (3.0, 1.5, "ms", "2.00 (worse)"),
        (3.0, 1.5, "tokens/s", "2.00 (better)"),
        (1.01, 1.0, "ms", "1.01 (even)"),
    ],
)
def test_ratio_says_who_is_better(ours: float, theirs: float, unit: str, expected: str) -> None:
    peer = row("case", "peer", "setting", "metric", unit, theirs)
    assert ratio(row("case", "rankgrad", "setting", "metric", unit, ours), peer) == expected
    assert ratio(peer, peer) == ""


def test_table_and_picture_hold_what_has_a_unit(written: Path) -> None:
    made = table(ROWS, WHERE)
    assert list(made.columns[2].cells) == ["rankgrad torch", "peer"]
    assert list(made.columns[-1].cells) == ["0.50 (better)", ""]
    assert draw(written).read_bytes().startswith(b"\x89PNG")
