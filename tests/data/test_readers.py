from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rankgrad._checks import InputError
from rankgrad.data import (
    BEIR,
    CandidateList,
    hold_out,
    read_beir,
    read_lists,
    read_qrels,
    read_run,
    read_teacher_scores,
    read_triples,
    write_qrels,
    write_run,
)

CORPUS = '{"_id": "d1", "title": "Oslo", "text": "in Norway"}\n{"_id": "d2", "text": ""}\n'
QUERIES = '{"_id": "q1", "text": "capital of Norway"}\n'
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t1\n"


def write_folder(folder: Path, **files: str | bytes | None) -> Path:
    """A BEIR folder; a file given as None is left out."""
    whole = {"corpus.jsonl": CORPUS, "queries.jsonl": QUERIES, "qrels/test.tsv": QRELS, **files}
    (folder / "qrels").mkdir()
    for name, content in whole.items():
        if content is not None:
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def loaded(folder: Path) -> object:
    return read_beir(folder).task("test")


def everything(read: Callable, name: str) -> Callable[[Path], object]:
    def run(folder: Path) -> object:
        return list(read(folder / name))

    return run


@pytest.mark.parametrize(
    ("files", "read", "message"),
    [
        ({"corpus.jsonl": None}, loaded, r"corpus\.jsonl: no such file; a BEIR folder holds corpus\.jsonl, queries"),
        ({"queries.jsonl": None}, loaded, r"queries\.jsonl: no such file; a BEIR folder"),
        ({"qrels/test.tsv": None}, loaded, r"qrels: no \.tsv file; a BEIR folder"),
        ({"corpus.jsonl": CORPUS + "{oops}\n"}, loaded, r"corpus\.jsonl:3: not valid JSON"),
        ({"corpus.jsonl": CORPUS + '{"_id": "d3", "te'}, loaded, r"corpus\.jsonl:3: not valid JSON"),
        ({"corpus.jsonl": CORPUS + "[1]\n"}, loaded, r"corpus\.jsonl:3: expected a JSON object \{\.\.\.\}, got list"),
        ({"corpus.jsonl": CORPUS + '{"_id": "d3"}\n'}, loaded, r"corpus\.jsonl:3: field 'text' must be a string"),
        ({"corpus.jsonl": CORPUS + '{"_id": 3, "text": "x"}'}, loaded, r":3: field '_id' must be a string, got 3"),
        ({"corpus.jsonl": CORPUS + CORPUS}, loaded, r"corpus\.jsonl:3: id 'd1' occurs a second time"),
        ({"corpus.jsonl": CORPUS.encode() + b"\xff\n"}, loaded, r"corpus\.jsonl:3: not UTF-8"),
        ({"corpus.jsonl": ""}, loaded, r"corpus\.jsonl: the file is empty"),
        ({"queries.jsonl": '{"_id": "q1", "text": " "}'}, loaded, r"queries\.jsonl:1: field 'text' is empty"),
        ({"qrels/test.tsv": QRELS + "q1\td2\thigh\n"}, loaded, r"test\.tsv:3: grade 'high' is no integer"),
        ({"qrels/test.tsv": QRELS + "q1\td2\t0.5\n"}, loaded, r"test\.tsv:3: grade '0\.5' is no integer"),
        ({"qrels/test.tsv": QRELS + "q1\td2\n"}, loaded, r"test\.tsv:3: expected 3 tab-separated columns .* got 2"),
        (
            {"qrels/test.tsv": QRELS + "q1\td1\t2\n"},
            loaded,
            r"test\.tsv:3: document 'd1' of query 'q1' is graded 1 and 2",
        ),
        ({"qrels/test.tsv": QRELS + "q1\td9\t1\n"}, loaded, "documents that are not in the collection: 'd9'"),
        ({"qrels/test.tsv": QRELS + "q9\td1\t1\n"}, loaded, "queries that are not in the collection: 'q9'"),
        ({"qrels/test.tsv": QRELS.splitlines()[0]}, loaded, r"test\.tsv: no judgement below the header"),
        ({"qrels/test.tsv": ""}, loaded, r"test\.tsv: the file is empty"),
        ({"a": "301 0 d1 1\n301 0 d2\n"}, everything(read_qrels, "a"), r"a:2: expected 4 columns \(query iteration"),
        ({"a": "301 0 d1 yes\n"}, everything(read_qrels, "a"), r"a:1: grade 'yes' is no integer"),
        ({"a": "301 Q0 d1 1 high x\n"}, everything(read_run, "a"), r"a:1: score 'high' is no number"),
        ({"a": "301 Q0 d1 1 nan x\n"}, everything(read_run, "a"), r"a:1: score 'nan' is no number"),
        (
            {"a": "301 Q0 d1 1 1 x\n" * 2},
            everything(read_run, "a"),
            r"a:2: document 'd1' of query '301' is listed twice",
        ),
        (
            {"a": '{"query": "q", "positive": "p"}'},
            everything(read_triples, "a"),
            r"a:1: field 'negative' must be a list",
        ),
        (
            {"a": '{"query": "q", "documents": [], "labels": []}'},
            everything(read_lists, "a"),
            "'documents' must be a list",
        ),
        (
            {"a": '{"query": "q", "documents": ["d"], "labels": [1, 0]}'},
            everything(read_lists, "a"),
            r"a:1: labels of query 'q': got 2 for 1 documents",
        ),
        (
            {"a": '{"query": "q", "documents": ["d"], "labels": [NaN]}'},
            everything(read_lists, "a"),
            r"a:1: labels: expected a finite number, got NaN",
        ),
        (
            {"a": '{"query": "q", "document": "d", "score": 1}\n' * 2},
            everything(read_teacher_scores, "a"),
            r"a:2: document 'd' of query 'q' is scored twice",
        ),
        ({"a.gz": gzip.compress(b'{"query": "q"}' * 99)[:30]}, everything(read_lists, "a.gz"), "broken gzip stream"),
        ({"a.gz": b"plain text"}, everything(read_lists, "a.gz"), "broken gzip stream"),
        (
            {"a": f'{{"query": "q", "document": "d", "score": {"9" * 400}}}'},
            everything(read_teacher_scores, "a"),
            "a:1: score: expected a finite number",
        ),
        ({"a": f'{{"query": {"9" * 5000}}}'}, everything(read_lists, "a"), "a:1: JSON that cannot be read"),
        ({"a": "[" * 200_000}, everything(read_lists, "a"), "a:1: JSON that cannot be read"),
    ],
)
def test_bad_files_say_what_and_where(
    tmp_path: Path, files: dict, read: Callable[[Path], object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(write_folder(tmp_path, **files))


@pytest.mark.parametrize("read", [read_beir, read_qrels, read_run, read_teacher_scores])
def test_a_missing_path_is_named(tmp_path: Path, read: Callable) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("plain", lambda content: content),
        ("gzip", gzip.compress),
        ("windows", lambda content: content.replace(b"\n", b"\r\n")),
        ("byte order mark", lambda content: b"\xef\xbb\xbf" + content),
        ("blank lines", lambda content: content.replace(b"\n", b"\n\n")),
    ],
)
def test_the_same_collection_in_other_bytes(tmp_path: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    suffix = ".gz" if name == "gzip" else ""
    contents = {"corpus.jsonl": CORPUS, "queries.jsonl": QUERIES, "qrels/test.tsv": QRELS}
    files: dict = dict.fromkeys(contents)
    files |= {f"{file}{suffix}": change(content.encode()) for file, content in contents.items()}
    task = read_beir(write_folder(tmp_path, **files)).task("test")
    assert task.documents.texts == ("Oslo in Norway", "")
    assert (task.queries.texts, task.qrels) == (("capital of Norway",), {"q1": {"d1": 1}})


def test_copies_and_hidden_files_are_no_splits(tmp_path: Path) -> None:
    other = QRELS.replace("d1", "d2")
    files: dict[str, str | bytes] = dict.fromkeys(
        ("test.tsv~", "test.tsv.bak", "test.tsv.orig", ".test.tsv.swp"), other
    )
    files |= {"._test.tsv": b"\x00\xff", "test.tsv.gz": gzip.compress(other.encode()), "dev.tsv": QRELS}
    collection = read_beir(write_folder(tmp_path, **{f"qrels/{name}": content for name, content in files.items()}))
    assert collection.qrels == {"dev": {"q1": {"d1": 1}}, "test": {"q1": {"d1": 1}}}


def test_half_a_surrogate_pair_becomes_a_replacement_character(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"query": "caf\\ud83d", "documents": ["\\ude00 \\ud83d\\ude00"], "labels": [1]}')
    assert list(read_lists(tmp_path / "a")) == [CandidateList("caf\ufffd", ("\ufffd \U0001f600",), (1.0,))]


def test_scifact(shared_data: Path) -> None:
    collection = read_beir(shared_data / "text_scifact")
    assert len(collection.documents) == 5_183
    assert set(collection.splits) == {"train", "test", "test_docdisjoint"}
    with (shared_data / "text_scifact/corpus.jsonl").open(encoding="utf-8") as file:
        first = json.loads(next(file))
    assert collection.documents.text(first["_id"]) == f"{first['title']} {first['text']}"
    assert len(collection.task("test").queries) == 300
    held = BEIR(shared_data / "text_scifact", hold_out=0.1).load()
    train, validation = held.qrels["train"], held.qrels["validation"]
    assert {**train, **validation} == collection.qrels["train"]
    assert not {d for judged in train.values() for d in judged} & {d for judged in validation.values() for d in judged}
    assert 0.05 < len(validation) / len(collection.qrels["train"]) < 0.2


def test_hold_out_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has the splits test: cannot take 'validation' out of 'train'"):
        hold_out(read_beir(write_folder(tmp_path)), share=0.5)


def test_cranfield_keeps_its_empty_documents(shared_data: Path) -> None:
    task = read_beir(shared_data / "text_cranfield").task("graded")
    empty = [name for name, text in zip(task.documents.ids, task.documents.texts, strict=True) if not text]
    assert (len(task.documents), len(task.queries), empty) == (1_400, 225, ["471", "995"])
    assert sum(len(judged) for judged in task.qrels.values()) == 1_837


def test_files_of_trec_eval(shared_data: Path, tmp_path: Path) -> None:
    files = shared_data / "eval_trec_eval/test"
    qrels, run = read_qrels(files / "qrels.test"), read_run(files / "results.test")
    lines = (files / "qrels.test").read_text().splitlines()
    assert sum(len(judged) for judged in qrels.values()) == len(lines)
    assert sum(len(found) for found in run.values()) == len((files / "results.test").read_text().splitlines())
    commented = read_qrels(files / "qrels.test.with-comments")
    assert {query: sorted(judged.values()) for query, judged in commented.items()} == {
        query: sorted(judged.values()) for query, judged in qrels.items()
    }
    assert all(list(found.values()) == sorted(found.values(), reverse=True) for found in run.values())
    write_qrels(tmp_path / "qrels", qrels)
    write_run(tmp_path / "run", run, tag="again")
    assert (read_qrels(tmp_path / "qrels"), read_run(tmp_path / "run")) == (qrels, run)


def test_a_run_has_the_columns_of_trec(tmp_path: Path) -> None:
    write_run(tmp_path / "run", {"q": {"low": 0.1, "high": 1e-30 + 2.5}}, tag="x")
    assert (tmp_path / "run").read_text() == "q Q0 high 1 2.5 x\nq Q0 low 2 0.1 x\n"


def test_scores_of_numpy_and_ids_with_other_spaces_come_back(tmp_path: Path) -> None:
    run = {"q\u2028": {"d\u00a01": np.float32(0.5), "d2": np.float64(0.25)}, "q2": {"d1": 1.0}}
    write_run(tmp_path / "run", run)
    assert (tmp_path / "run").read_text(encoding="utf-8").split("\n")[0] == "q\u2028 Q0 d\u00a01 1 0.5 rankgrad"
    assert read_run(tmp_path / "run") == run
    write_qrels(tmp_path / "qrels", {"q\u2028": {"d\u00a01": 2}})
    assert read_qrels(tmp_path / "qrels") == {"q\u2028": {"d\u00a01": 2}}
    with pytest.raises(InputError, match="'d': its score is NaN"):
        write_run(tmp_path / "run", {"q": {"d": float("nan")}})
    with pytest.raises(InputError, match="a line that starts with # is a comment"):
        write_qrels(tmp_path / "qrels", {"#1": {"d": 1}})


@pytest.mark.parametrize("name", ["two words", "", " padded"])
def test_ids_that_would_break_a_line_are_refused_and_leave_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot stand in a TREC file"):
        write_run(tmp_path / "run", {"q": {"fine": 1.0}, name: {"d": 1.0}})
    with pytest.raises(InputError, match="cannot stand in a TREC file"):
        write_qrels(tmp_path / "qrels", {"q": {name: 1}})
    assert list(tmp_path.iterdir()) == []


def test_lists_and_triples(tmp_path: Path) -> None:
    lists = tmp_path / "lists.jsonl"
    lists.write_text(json.dumps({"query": "q", "documents": ["a", "b"], "labels": [0, 2], "teacher_scores": [0.5, 3]}))
    triples = tmp_path / "triples.jsonl"
    triples.write_text('{"query": "q", "positive": "a", "negative": "b"}\n')
    assert list(read_lists(lists)) == [CandidateList("q", ("a", "b"), (0.0, 2.0), teacher_scores=(0.5, 3.0))]
    assert list(read_triples(triples)) == [CandidateList("q", ("a", "b"), (1.0, 0.0))]


def test_files_are_streamed(tmp_path: Path) -> None:
    file = tmp_path / "triples.jsonl"
    file.write_text('{"query": "q", "positive": "a", "negative": "b"}\noops\n')
    reader = read_triples(file)
    assert next(reader).query == "q"
    with pytest.raises(InputError, match=r":2: not valid JSON"):
        next(reader)
