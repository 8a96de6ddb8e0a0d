"""Files of feature rows that cannot be read are refused with the line that is to blame."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankgrad._checks import InputError
from rankgrad.deploy.feature_files import read_feature_file


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "rows.csv",
            "qid,a,b\n1,2,3\n1,2," + "3" * 140_000 + "\n",
            r"rows.csv:3: cannot be read as CSV \(field larger",
        ),
        ("rows.csv", "q" * 140_000 + ",a,b\n1,2,3\n", r"rows.csv:1: cannot be read as CSV"),
        ("rows.txt", "1 qid:1 1:2\n1 qid:1 " + "1" * 5000 + ":2\n", r"rows.txt:2: expected FEATURE:VALUE"),
    ],
)
def test_the_line_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_feature_file(tmp_path / name, features=2)


def test_lines_of_quoted_cells_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('a,b,qid\n1,2,"x\ny"\n\n3,,"x\ny"\n')
    found = read_feature_file(path, features=2)
    assert (found.queries, found.lines) == (("x\ny",), [[3, 6]])
    assert found.lists[0][0].tolist() == [1.0, 2.0]
