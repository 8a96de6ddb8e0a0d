"""What the commands print and write when all is well."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from rankgrad import __version__
from rankgrad.cli.main import build_parser
from rankgrad.export import export_bundle
from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.training.run_folder import RunFolder

TEXTS = ["open a file and read its lines", "join several strings with a separator", "sort a list by key"]
QUERY = "read a file"
SCRIPT = [sys.executable, "-c", "import sys; from rankgrad.cli.main import main; sys.exit(main())"]


def oracle(folders: Any, kind: str) -> list[float]:
    """The scores of ``TEXTS`` from the model itself."""
    if kind == "cross_encoder":
        return CrossEncoder.from_pretrained(folders.cross_encoder).score([QUERY] * len(TEXTS), TEXTS).tolist()
    colbert = ColBERT.from_pretrained(folders.colbert)
    return colbert.score([QUERY], colbert.encode_documents(TEXTS))[0].tolist()


@pytest.mark.parametrize("kind", ["cross_encoder", "colbert"])
@pytest.mark.parametrize(
    ("suffix", "variant", "tolerance"), [("", None, 1e-5), ("_bundle", "fp32", 1e-3), ("_bundle", "int8", 1.0)]
)
def test_rerank_orders_by_the_models_own_scores(
    run: Any, folders: Any, kind: str, suffix: str, variant: str | None, tolerance: float
) -> None:
    options = [] if variant is None else ["--variant", variant]
    outcome = run("rerank", "--model", getattr(folders, kind + suffix), *options, "--json", QUERY, *TEXTS)
    assert (outcome.code, outcome.err) == (0, "")
    answer = json.loads(outcome.out)
    results = answer["results"]
    assert answer["query"] == QUERY
    assert [row["rank"] for row in results] == [1, 2, 3]
    assert [row["text"] for row in results] == [TEXTS[int(row["document"]) - 1] for row in results]
    assert [row["score"] for row in results] == sorted((row["score"] for row in results), reverse=True)
    expected = oracle(folders, kind)
    assert {int(row["document"]) - 1: row["score"] for row in results} == pytest.approx(
        dict(enumerate(expected)), abs=tolerance
    )


def test_copies_of_a_document_are_one_candidate_of_model_and_bundle(
    run: Any, tmp_path: Path, tiny_encoder_folder: Path
) -> None:
    """A listwise model's scores would else depend on how often a text is given."""
    folder, bundle = tmp_path / "listwise", tmp_path / "bundle"
    model = CrossEncoder.from_pretrained(tiny_encoder_folder, listwise=True, max_length=96)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    model.save_pretrained(folder)
    export_bundle(model, bundle, variants=(), rank_agreement=-1.0)
    texts = [TEXTS[2], TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[2]]
    torchs, exported = (
        json.loads(run("rerank", "--model", each, "--json", QUERY, *texts).out)["results"] for each in (folder, bundle)
    )
    assert [row["document"] for row in torchs] == [row["document"] for row in exported]
    assert [row["score"] for row in torchs] == pytest.approx([row["score"] for row in exported], abs=1e-3)
    expected = dict(zip(TEXTS, model.eval().score([QUERY] * 3, [*TEXTS]).tolist(), strict=True))
    assert {row["text"]: row["score"] for row in torchs} == pytest.approx(expected, abs=1e-4)
    numbers = [int(row["document"]) for row in torchs]
    assert numbers.index(1) + 1 == numbers.index(5)
    assert numbers.index(2) + 1 == numbers.index(4)


@pytest.mark.parametrize(
    ("words", "content"),
    [
        (["--file", "texts.txt"], "\n".join(TEXTS)),
        (["--file", "texts.jsonl"], "\n".join(json.dumps({"text": text}) for text in TEXTS) + "\n"),
        (["--file", "-"], "\r\n".join(TEXTS) + "\r\n"),
        ([], "\n".join(json.dumps({"title": "", "text": text}) for text in TEXTS)),
    ],
)
def test_documents_may_come_from_a_file_or_standard_input(
    run: Any, folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], content: str
) -> None:
    (tmp_path / (words[-1] if words else "unused")).write_text(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    outcome = run("rerank", "--model", folders.cross_encoder_bundle, "--json", QUERY, *words)
    expected = run("rerank", "--model", folders.cross_encoder_bundle, "--json", QUERY, *TEXTS)
    assert outcome == expected
    assert expected.code == 0


def test_rerank_prints_a_line_a_document(run: Any, folders: Any) -> None:
    outcome = run("rerank", "--model", folders.colbert_bundle, QUERY, *TEXTS, "-k", 2)
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]
    assert all(line.split(maxsplit=3)[3] in TEXTS for line in lines)


def test_rerank_prints_a_table_on_a_terminal(run: Any, folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankgrad.cli._show.is_terminal", lambda: True)
    outcome = run("rerank", "--model", folders.colbert_bundle, QUERY, *TEXTS)
    header, *lines = outcome.out.splitlines()
    assert header.split() == ["rank", "score", "document", "text"]
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]


@pytest.mark.parametrize("kind", ["cross_encoder", "colbert"])
@pytest.mark.parametrize("suffix", ["", "_bundle"])
def test_a_document_too_long_to_read_is_named_once(run: Any, folders: Any, kind: str, suffix: str) -> None:
    long = ("sort values " * 10_000)[:100_000]
    outcome = run("rerank", "--model", getattr(folders, kind + suffix), "--json", QUERY, "a file", long)
    assert outcome.code == 0
    assert len(json.loads(outcome.out)["results"]) == 2
    assert outcome.err.count("\n") == 1
    assert "document 2 (16,6" in outcome.err
    assert "document 1" not in outcome.err


def test_rerank_from_a_bundle_leaves_torch_alone(folders: Any) -> None:
    program = (
        "import sys; from rankgrad.cli.main import main; code = main(); print('torch' in sys.modules); sys.exit(code)"
    )
    words = ["rerank", "--model", str(folders.colbert_bundle), "--json", QUERY, *TEXTS]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_search_finds_by_words_then_by_models(run: Any, folders: Any) -> None:
    query = "sort the values and read a file"
    words = ("search", "--data", folders.beir, query, "--json")
    plain = json.loads(run(*words, "-k", 2).out)["results"]
    assert {row["id"] for row in plain} == {"d1", "d2"}
    models = ("--model", folders.colbert, "--model", folders.cross_encoder_bundle)
    ordered = json.loads(run(*words, "-k", 2, *models).out)["results"]
    scores = (
        CrossEncoder.from_pretrained(folders.cross_encoder).score([query] * 2, [row["text"] for row in plain]).tolist()
    )
    assert ordered[0]["id"] == plain[scores.index(max(scores))]["id"]
    assert ordered[0]["score"] == pytest.approx(max(scores), abs=1e-3)


def test_search_says_when_no_document_has_a_word(run: Any, folders: Any) -> None:
    outcome = run("search", "--data", folders.beir, "quokka", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["results"] == []
    assert outcome.err == "rankgrad: nothing found: no document holds a word of the query\n"


def test_evaluate_measures_every_system(run: Any, folders: Any, tmp_path: Path) -> None:
    models = [
        word
        for name in ("colbert", "cross_encoder", "cross_encoder_bundle")
        for word in ("--model", getattr(folders, name))
    ]
    outcome = run("evaluate", "--data", folders.beir, *models, "--depth", 5, "--json", "--out", "report")
    assert outcome.code == 0
    report = json.loads(outcome.out)
    assert [system["name"] for system in report["systems"]] == [
        "BM25",
        "BM25 > colbert",
        "BM25 > cross",
        "BM25 > cross_bundle fp32",
        "BM25 > cross_bundle int8",
        "BM25 > colbert > cross",
    ]
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == report
    assert run("evaluate", "--data", folders.beir).code == 0


def test_evaluate_lets_models_keep_a_share_of_the_score_before_them(run: Any, folders: Any, tmp_path: Path) -> None:
    """A large share gives BM25's order, a negative one its reverse; weights chosen on another split are told."""
    shutil.copytree(folders.beir, tmp_path / "beir")
    shutil.copy(tmp_path / "beir/qrels/test.tsv", tmp_path / "beir/qrels/train.tsv")
    texts = ("read lines, sort", "sort dictionary values, read", "error index range, date")
    rows = [json.dumps({"_id": f"q{place}", "text": text}) for place, text in enumerate(texts, 1)]
    (tmp_path / "beir/queries.jsonl").write_text("\n".join(rows))
    words = ("evaluate", "--data", "beir", "--model", folders.cross_encoder, "--depth", 5, "--json")
    kept, turned = (
        json.loads(run(*words, "--first-stage-weights", 0, weight, 0).out)["systems"] for weight in (1000000, -1000000)
    )
    assert kept[1]["values"] == kept[0]["values"]
    assert turned[1]["means"]["MRR@10"] < turned[0]["means"]["MRR@10"]
    chosen = run(*words, "--tune-on", "train")
    assert chosen.code == 0
    assert "chosen on train: 0 of BM25 in ColBERT" in chosen.err
    refused = run(*words, "--tune-on", "test")
    assert (refused.code, refused.out) == (2, "")
    assert "--tune-on test: weights chosen on the queries measured flatter" in refused.err


def test_export_replaces_a_bundle_when_told_to(run: Any, folders: Any, tmp_path: Path) -> None:
    shutil.copytree(folders.colbert_bundle, tmp_path / "bundle")
    words = ("export", folders.cross_encoder, "--out", "bundle", "--variants", "fp32")
    assert run(*words).code == 2
    again = run(*words, "--overwrite", "--json")
    assert (again.code, again.err) == (0, "rankgrad: wrote bundle\n")
    about = json.loads(again.out)
    assert (about.pop("out"), list(about["graphs"])) == ("bundle", ["fp32"])
    assert about == json.loads((tmp_path / "bundle" / "rankgrad.json").read_text())
    assert not (tmp_path / "bundle" / "onnx" / "model_quantized.onnx").exists()
    request = ("--json", QUERY, *TEXTS)
    assert run("rerank", "--model", "bundle", *request) == run(
        "rerank", "--model", folders.cross_encoder_bundle, *request
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--config", "a.yaml", "--model.learning_rate", "1e-5", "--resume"],) * 2,
        (["--config=a.yaml", "--config", "b.yaml", "--trainer.max_epochs", "-1"],) * 2,
        (["--help-all"], ["--help"]),
    ],
)
def test_fit_hands_its_arguments_on(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: list[str]
) -> None:
    given: list[str] = []
    monkeypatch.setattr("rankgrad.training.cli.main", lambda argv: given.extend(argv) or RunFolder(Path("runs/mine")))
    assert run("fit", *words) == (0, "", "rankgrad: the best model is in runs/mine/best\n")
    assert given == expected


@pytest.mark.parametrize("text", ["-1e9", "-2.5E-3", "-.5", "-7."])
def test_a_negative_number_is_no_option(text: str) -> None:
    words = ["mine", "--data", "x", "--out", "y", "--denoiser", "z", "--denoise-above", text]
    assert build_parser().parse_args(words).denoise_above == float(text)


COMMANDS = re.findall(r"^    ([a-z]+) ", build_parser().format_help(), re.MULTILINE)
PRINTS_RESULTS = {"demo", "evaluate", "fuse", "mine", "encode", "index", "export", "rerank", "search", "verify"}


def test_every_command_is_listed_and_those_with_results_print_json(run: Any) -> None:
    assert {*COMMANDS} == PRINTS_RESULTS | {"fit", "serve", "bench"}
    assert {command for command in COMMANDS if "--json " in run(command, "--help").out} == PRINTS_RESULTS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_in_an_example(run: Any, command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert f"example:\n  rankgrad {command} " in outcome.out
    assert all(len(line) <= 110 for line in outcome.out.splitlines())


def test_version(run: Any) -> None:
    assert run("--version") == (0, f"rankgrad {__version__}\n", "")


def test_a_reader_that_goes_away_is_no_error(folders: Any) -> None:
    words = ["rerank", "--model", str(folders.cross_encoder_bundle), QUERY, *TEXTS]
    with subprocess.Popen([*SCRIPT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 141


class Interrupted(io.StringIO):
    """A standard input whose reader presses Ctrl-C."""

    def read(self, size: int | None = -1) -> str:
        raise KeyboardInterrupt


def test_interrupting_says_so_in_one_line(run: Any, folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Interrupted())
    assert run("rerank", "--model", folders.colbert_bundle, QUERY) == (130, "", "rankgrad: stopped\n")
