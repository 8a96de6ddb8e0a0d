"""Collections in the layout of the BEIR benchmark."""

from __future__ import annotations

from pathlib import Path

from rankgrad._checks import InputError
from rankgrad.data._lines import read_lines, read_objects, text_field
from rankgrad.data.records import Collection, Qrels, Texts
from rankgrad.data.trec import add_judgement

_LAYOUT = "a BEIR folder holds corpus.jsonl, queries.jsonl and qrels/<split>.tsv (each may end in .gz)"


def read_beir(folder: str | Path) -> Collection:
    """Read ``corpus.jsonl``, ``queries.jsonl`` and every ``qrels/<split>.tsv`` of a folder.

    A document is its title and its text, joined by one blank; it may be empty, a query may not.

    Args:
        folder: the collection; its name becomes the collection's name.

    Raises:
        FileNotFoundError: when there is no such folder.
        InputError: for a missing file of the layout, an unusable line (with ``file:line``), an id given twice.

    Reference:
        Nandan Thakur, Nils Reimers, Andreas Rücklé, Abhishek Srivastava, Iryna Gurevych. BEIR: A Heterogeneous
        Benchmark for Zero-shot Evaluation of Information Retrieval Models. NeurIPS Datasets and Benchmarks 2021.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "corpus.jsonl").write_text('{"_id": "d", "title": "Oslo", "text": "is in Norway"}')
        >>> _ = (folder / "queries.jsonl").write_text('{"_id": "q", "text": "capital of Norway"}')
        >>> (folder / "qrels").mkdir()
        >>> _ = (folder / "qrels" / "test.tsv").write_text("query-id\\tcorpus-id\\tscore\\nq\\td\\t1\\n")
        >>> task = read_beir(folder).task("test")
        >>> task.documents.texts, task.qrels
        (('Oslo is in Norway',), {'q': {'d': 1}})
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; {_LAYOUT}")
    corpus, queries = _file(folder / "corpus.jsonl"), _file(folder / "queries.jsonl")
    splits = _splits(folder / "qrels")
    if not splits:
        raise InputError(f"{folder / 'qrels'}: no .tsv file; {_LAYOUT}")
    return Collection(
        folder.resolve().name,
        documents=read_texts(corpus, blank=True),
        queries=read_texts(queries, blank=False),
        qrels={split: _judgements(file) for split, file in splits.items()},
    )


def _splits(folder: Path) -> dict[str, Path]:
    """The file of each split, without hidden files and the copies that editors leave; unpacked ones before packed."""
    found = {}
    for ending in (".tsv.gz", ".tsv"):
        for file in sorted(folder.glob(f"[!.]*{ending}")):
            found[file.name.removesuffix(ending)] = file
    return dict(sorted(found.items()))


def _file(path: Path) -> Path:
    for file in (path, path.with_name(f"{path.name}.gz")):
        if file.is_file():
            return file
    raise InputError(f"{path}: no such file; {_LAYOUT}")


def read_texts(path: Path, *, blank: bool) -> Texts:
    texts: dict[str, str] = {}
    for record, where in read_objects(path):
        name = text_field(record, "_id", where)
        if name in texts:
            raise InputError(f"{where}: id {name!r} occurs a second time: give every text its own id")
        text = text_field(record, "text", where, blank=blank)
        title = text_field(record, "title", where, blank=True) if record.get("title") is not None else ""
        texts[name] = f"{title} {text}".strip()
    return Texts(tuple(texts), tuple(texts.values()))


def _judgements(path: Path) -> Qrels:
    qrels: Qrels = {}
    for line in read_lines(path):
        fields = line.split("\t")
        if len(fields) != 3:
            raise InputError(
                f"{line.where}: expected 3 tab-separated columns (query-id corpus-id score), got {len(fields)}"
            )
        query, document, grade = fields
        if not qrels and query in {"query-id", "query_id", "qid"}:
            continue
        add_judgement(qrels, query, document, grade, line)
    if not qrels:
        raise InputError(f"{path}: no judgement below the header")
    return qrels
