"""svmlight files as tables, tables as lists and batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.data import FeatureListDataModule, TableLists, collate_features, read_letor

ROWS = "2 qid:7 1:0.5 3:-1e1 # doc a\n0 qid:7 2:4\n\n1 qid:12 1:1 2:2 3:3\n"
SHARED = Path(__file__).resolve().parents[2] / "../shared/data/ltr_lightgbm"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.txt"
    path.write_text(ROWS)
    return path


def test_reads_rows_and_queries(file: Path) -> None:
    table = read_letor(file)
    assert table.features.tolist() == [[0.5, 0.0, -10.0], [0.0, 4.0, 0.0], [1.0, 2.0, 3.0]]
    assert table.labels.tolist() == [2.0, 0.0, 1.0]
    assert (table.cu_seqlens.tolist(), table.queries) == ([0, 2, 3], ("7", "12"))
    assert (table.features.dtype, table.labels.dtype) == (torch.float32, torch.float32)
    assert read_letor(file, features=5).features.shape == (3, 5)


def test_reads_sizes_from_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("1 1:1\n0 2:1\n2 1:3\n")
    (tmp_path / "sizes").write_text("1\n2\n")
    table = read_letor(tmp_path / "rows", query_sizes=tmp_path / "sizes")
    assert (table.cu_seqlens.tolist(), table.queries) == ([0, 1, 3], ("1", "2"))


@pytest.mark.parametrize(
    ("text", "sizes", "message"),
    [
        ("1 qid:1 1:2\nx qid:1 1:2\n", None, r"rows:2: expected a label first, got 'x'"),
        ("1 qid:1 1:2\n1 qid:1 1=2\n", None, r"rows:2: expected FEATURE:VALUE, features counted from 1, got '1=2'"),
        ("1 qid:1 0:2\n", None, r"rows:1: expected FEATURE:VALUE, features counted from 1, got '0:2'"),
        ("1 qid:1 3:2 2:1\n", None, r"rows:1: feature 2 stands behind 3: they must rise"),
        ("1 qid:a 1:2\n", None, r"rows:1: expected a whole number behind qid:, got 'a'"),
        ("1 qid:1 1:2\n1 1:2\n", None, r"rows:2: expected qid:QUERY behind the label; or pass .* query_sizes"),
        ("1 1:2\n", None, r"rows:1: expected qid:QUERY"),
        ("1 qid:1 1:2\n1 qid:2 1:2\n1 qid:1 1:2\n", None, r"qid 1 begins again in row 3.*sort the file"),
        ("1 qid:1 9:2\n", None, r"rows:1: feature 9, but there are 4"),
        ("", None, "holds no rows"),
        ("1 1:2\n", "2\n", r"sizes sum to 2, but .*rows holds 1"),
        ("1 1:2\n", "1\nx\n", r"sizes:2: expected the number of rows of a query, got 'x'"),
        ("1 1:2\n", "0\n1\n", r"sizes:1: expected the number of rows of a query, got '0'"),
    ],
)
def test_says_where_a_file_is_wrong(tmp_path: Path, text: str, sizes: str | None, message: str) -> None:
    (tmp_path / "rows").write_text(text)
    if sizes is not None:
        (tmp_path / "sizes").write_text(sizes)
    with pytest.raises(InputError, match=message):
        read_letor(tmp_path / "rows", query_sizes=None if sizes is None else tmp_path / "sizes", features=4)


def test_a_missing_file_is_named(tmp_path: Path, file: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"feature file not found: .*none"):
        read_letor(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"query sizes not found: .*none"):
        read_letor(file, query_sizes=tmp_path / "none")


def test_batches_are_padded_lists(file: Path) -> None:
    table = read_letor(file)
    lists = TableLists(table)
    batch = collate_features([lists[0, 0], lists[0, 1]])
    assert batch.mask.tolist() == [[True, True], [True, False]]
    assert batch.labels.tolist() == [[2.0, 0.0], [1.0, 0.0]]
    assert batch.features.features[1, 1].eq(0).all()
    assert torch.equal(batch.features.mask, batch.mask)
    assert TableLists(table, [1])[0, 0][1].tolist() == [1.0]


def test_longest_draws_anew_in_each_epoch_and_repeats(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_text("".join(f"{row} qid:1 1:{row}\n" for row in range(30)))
    lists = TableLists(read_letor(path), longest=5, seed=3)
    drawn = [lists[epoch, 0][1].tolist() for epoch in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 5


def test_the_data_module_holds_queries_out_and_repeats(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_text("".join(f"{row % 3} qid:{row // 5} 1:{row}\n" for row in range(100)))

    def labels(seed: int) -> list[list[float]]:
        data = FeatureListDataModule(path, hold_out=0.25, batch_size=4, seed=seed)
        data.setup()
        assert data.train_lists is not None
        assert data.validation_lists is not None
        train, held = data.train_lists.queries, data.validation_lists.queries
        assert train is not None
        assert held is not None
        assert (len(train), len(held)) == (15, 5)
        assert sorted([*train, *held]) == list(range(20))
        return [batch.features.features[..., 0].flatten().tolist() for batch in data.train_dataloader()]

    assert labels(0) == labels(0) != labels(1)


@pytest.mark.parametrize(("options", "message"), [({"hold_out": 1.0}, "hold_out"), ({"longest": 1}, "longest")])
def test_the_data_module_refuses(file: Path, options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FeatureListDataModule(file, **options)  # type: ignore[arg-type]


@pytest.mark.skipif(not SHARED.exists(), reason="LightGBM's ranking example is not beside the repository")
def test_reads_lightgbms_example() -> None:
    table = read_letor(SHARED / "rank.train", query_sizes=SHARED / "rank.train.query")
    assert table.features.shape == (3005, 300)
    assert len(table.queries) == 201
    assert table.labels.unique().tolist() == [0, 1, 2, 3, 4]
