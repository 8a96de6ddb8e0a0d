"""An exported feature ranker scores as torch does, whatever the lists' lengths, and refuses what it cannot score."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.deploy.__main__ import main
from rankgrad.export import export_bundle
from rankgrad.models import FeatureRanker

NAMES = ("clicks", "length", "match")
LENGTHS = (5, 1, 30, 2, 17, 5)


def ranker(attention_layers: int) -> FeatureRanker:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = FeatureRanker(3, hidden=(8, 4), heads=2, attention_layers=attention_layers, transform="quantile")
        made.fit_transform(torch.randn(90, 3).exp())
    return made.eval()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[FeatureRanker, Path]]:
    """By the number of attention layers: a ranker and its bundle."""
    folder = tmp_path_factory.mktemp("bundles")
    made = {layers: (ranker(layers), folder / f"layers{layers}") for layers in (0, 1)}
    for layers, (model, bundle) in made.items():
        export_bundle(model, bundle, feature_names=None if layers else NAMES)
    return made


@pytest.fixture
def bundle(both: dict[int, tuple[FeatureRanker, Path]]) -> Path:
    return both[0][1]


def torch_scores(model: FeatureRanker, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return model.forward_lists(torch.from_numpy(features).float(), torch.from_numpy(mask)).numpy()


def drawn(*size: int) -> np.ndarray:
    values = np.exp(np.random.default_rng(1).normal(size=(*size, 3)))
    values[np.random.default_rng(2).random(values.shape) < 0.1] = np.nan
    values[(0,) * len(size)] = [np.inf, -np.inf, 1e300]
    return values


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("rows_a_run", [1, 7, 40, 1024])
def test_padded_lists_score_as_in_torch(both: Any, layers: int, rows_a_run: int) -> None:
    model, bundle = both[layers]
    features, mask = drawn(6, 9), np.random.default_rng(3).random((6, 9)) < 0.6
    mask[4], mask[5], features[3] = False, True, 7.0
    found = deploy.load(bundle, threads=1).score(features, mask, rows_a_run=rows_a_run)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, torch_scores(model, features, mask), rtol=0, atol=1e-6)
    whole = deploy.load(bundle, threads=1).score(features)
    np.testing.assert_allclose(whole, torch_scores(model, features, np.ones_like(mask)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("rows_a_run", [1, 8, 1024])
def test_lists_of_different_lengths_score_as_each_alone(both: Any, layers: int, rows_a_run: int) -> None:
    model, bundle = both[layers]
    lists = [drawn(length) for length in LENGTHS]
    found = deploy.load(bundle, threads=1).score(lists, rows_a_run=rows_a_run)
    assert [len(scores) for scores in found] == list(LENGTHS)
    for rows, scores in zip(lists, found, strict=True):
        expected = torch_scores(model, rows[None], np.ones((1, len(rows)), bool))[0]
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


def test_runs_keep_to_the_budget(both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for layers, widest in ((0, 8), (1, 30)):
        model = deploy.load(both[layers][1], threads=1)
        sizes: list[tuple[int, int]] = []
        run = deploy.Graph.__call__
        watched = lambda graph, rows, run=run, sizes=sizes: (sizes.append(rows.mask.shape), run(graph, rows))[1]  # noqa: E731
        monkeypatch.setattr(deploy.Graph, "__call__", watched)
        model.score([drawn(length) for length in LENGTHS], rows_a_run=8)
        monkeypatch.undo()
        assert sizes == sorted(sizes, key=lambda size: -size[1])
        assert all(lists * items <= 8 or lists == 1 for lists, items in sizes)
        assert max(items for _, items in sizes) == widest


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, np.uint8, bool])
def test_any_real_numbers_are_features(bundle: Path, dtype: Any) -> None:
    features = np.arange(12).reshape(2, 2, 3).astype(dtype)
    model = deploy.load(bundle, threads=1)
    np.testing.assert_array_equal(model.score(features), model.score(features.astype(np.float32)))


ONES = np.ones((2, 4, 3))
REFUSED: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "another number": (np.ones((2, 4, 5)), None, InputError, "features: expected 3 features a row, got 5"),
    "in one list": ([ONES[0], np.ones((4, 2))], None, InputError, "list 1 .* expected 3 features a row, got 2"),
    "one bare list": (ONES[0], None, InputError, r"expected \[lists, items, 3\].* got \[4, 3\]; wrap"),
    "no list": ([], None, InputError, "no list given"),
    "no rows": ([ONES[0], ONES[0, :0]], None, InputError, r"list 1 .* at least one row, got \[0, 3\]"),
    "no items": (ONES[:, :0], None, InputError, "at least one list and item"),
    "rows of different lengths": ([[[1.0, 2.0, 3.0], [1.0]]], None, InputError, "list 0 .* different lengths"),
    "texts": ([[["a", "b", "c"]]], None, TypeError, "list 0 .* expected real numbers, got <U1"),
    "complex": (ONES.astype(complex), None, TypeError, "expected real numbers, got complex128"),
    "a number as mask": (ONES, np.ones((2, 4)), TypeError, "mask: expected bool, True = a real item, got float64"),
    "another mask": (ONES, np.ones((2, 3), bool), InputError, r"mask: expected \[2, 4\] .* got \[2, 3\]"),
    "a mask of ragged lists": ([ONES[0]], np.ones((1, 4), bool), InputError, "have no padding; leave it out"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(bundle: Path, name: str) -> None:
    features, mask, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        deploy.load(bundle, threads=1).score(features, mask)


def test_a_bundle_without_its_features_is_damaged(bundle: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(bundle, tmp_path / "damaged"))
    content = json.loads((damaged / "rankgrad.json").read_text())
    for changed, message in (({"features": {"count": 3}}, "is not understood"), ({"graphs": {"fp32": {}}}, "entry")):
        (damaged / "rankgrad.json").write_text(json.dumps(content | changed))
        with pytest.raises(InputError, match=message):
            deploy.load(damaged)
    (damaged / "rankgrad.json").write_text(json.dumps({key: content[key] for key in content if key != "features"}))
    with pytest.raises(InputError, match="lacks 'features'"):
        deploy.load(damaged)


SVMLIGHT = "2 qid:7 1:0.5 3:1 # first\n\n0 qid:7 2:4\n1 qid:9 1:nan 2:3 3:2\n"
CSV = "length,label,qid,match,clicks,more\n0,2,7,1,0.5,x\n4,0,7,0,0,y\n3,1,9,2,,z\n"


def test_the_command_scores_files_of_both_kinds(both: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, bundle = both[0]
    rows = np.array([[[0.5, 0, 1], [0, 4, 0]], [[np.nan, 3, 2], [0, 0, 0]]], np.float32)
    expected = torch_scores(model, rows, np.array([[True, True], [True, False]]))
    (tmp_path / "rows.txt").write_text(SVMLIGHT)
    (tmp_path / "rows.csv").write_text(CSV)
    for name, lines in (("rows.txt", {1: 0, 3: 1, 4: 2}), ("rows.csv", {2: 0, 3: 1, 4: 2})):
        assert main([str(bundle), str(tmp_path / name), "--json", "--threads", "1"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [(row["query"], row["rank"]) for row in found] == [("7", 1), ("7", 2), ("9", 1)]
        assert found[0]["score"] >= found[1]["score"]
        for row in found:
            assert row["score"] == pytest.approx(expected.flatten()[lines[row["line"]]], abs=1e-6)
    assert main([str(bundle), str(tmp_path / "rows.txt"), "--k", "1"]) == 0
    head, *table = capsys.readouterr().out.splitlines()
    assert (head.split(), len(table)) == (["query", "rank", "line", "score"], 2)


BAD_FILES = [
    ("rows.txt", "", "holds no rows"),
    ("rows.txt", "1 qid:1 1:2\nbest qid:1 1:2\n", "rows.txt:2: expected a label first, got 'best'"),
    ("rows.txt", "1 qid:1 0:2\n", "rows.txt:1: expected FEATURE:VALUE, features counted from 1, got '0:2'"),
    ("rows.txt", "1 qid:1 4:2\n", "rows.txt:1: feature 4, but the model has 3"),
    ("rows.txt", "1 qid:1 1:two\n", "rows.txt:1: expected a number behind 1:, got 'two'"),
    ("rows.txt", "1 qid:1 1:2\n1 qid:2 1:2\n1 qid:1 1:2\n", "rows.txt:3: query '1' begins again"),
    ("rows.csv", "clicks,length\n1,2\n", "no column 'match' (1 of 3 features are missing)"),
    ("rows.csv", "clicks,length,match\n1,2\n", "rows.csv:2: 2 cells under 3 columns"),
    ("rows.csv", "clicks,length,match\n1,2,high\n", "rows.csv:2: column 'match': expected a number, got 'high'"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES)
def test_a_bad_file_is_one_line(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    assert main([str(bundle), str(tmp_path / name)]) == 2
    written = capsys.readouterr()
    assert (written.out, written.err.count("\n")) == ("", 1)
    assert message in written.err


def test_other_bad_calls(both: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unnamed = str(both[1][1])
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    for arguments, message in (
        ([unnamed, "nowhere.txt"], "nowhere.txt: No such file"),
        ([unnamed, str(tmp_path)], "is a folder"),
        ([unnamed, "a query", "a text"], "reads rows, not texts"),
        ([unnamed, str(tmp_path / "rows.csv")], "2 feature columns, expected 3 beside qid and label"),
        ([unnamed, str(tmp_path / "rows.csv"), "--k", "0"], "k=0"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err


def test_it_needs_numpy_and_onnxruntime_alone(bundle: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(('torch', 'transformers', 'tokenizers', 'onnx', 'safetensors'))\n"
        "import numpy\n"
        "from rankgrad import deploy\n"
        f"print(deploy.load({str(bundle)!r}, threads=1).score([numpy.ones((2, 3))])[0].shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "(2,)\n")
