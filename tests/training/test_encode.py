"""A corpus encoded by one process and by two, stopped and gone on with, read back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.data import Texts
from rankgrad.models import ColBERT, DenseEncoder, SparseEncoder
from rankgrad.modules.sparse_rows import SparseRows
from rankgrad.retrieve import DenseRetriever, EncodedCorpus, SparseRetriever
from rankgrad.retrieve.encoded import shard_path
from rankgrad.training import ProgressLines, encode_corpus
from rankgrad.types import PackedTokens

WORDS = ["return", "open", "sort", "raise", "join", "parse", "number", "file", "values", "error"]
TEXTS = (*(" ".join(WORDS[row % 7 : row % 7 + 1 + row % 5]) for row in range(22)), "")
CORPUS = Texts(tuple(f"d{row}" for row in range(len(TEXTS))), TEXTS)


def encode(model: object, folder: Path, **options: object) -> EncodedCorpus:
    defaults = {"accelerator": "cpu", "shard_size": 5, "batch_size": 2, "progress": False}
    found = encode_corpus(model, CORPUS, folder, **{**defaults, **options})  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.fixture(scope="module")
def dense(tiny_encoder_folder: Path) -> DenseEncoder:
    return DenseEncoder.from_pretrained(tiny_encoder_folder)


def test_dense_vectors(dense: DenseEncoder, tmp_path: Path) -> None:
    corpus = encode(dense, tmp_path / "out")
    assert (len(corpus), corpus.documents, corpus.ids()) == (5, 23, CORPUS.ids)
    assert [(shard.start, len(shard)) for shard in corpus] == [(0, 5), (5, 5), (10, 5), (15, 5), (20, 3)]
    vectors = corpus.vectors()
    assert isinstance(vectors, torch.Tensor)
    torch.testing.assert_close(vectors, dense.encode_documents(TEXTS), atol=1e-6, rtol=1e-5)
    found = DenseRetriever(dense, embeddings=vectors)(["sort values"], 5)
    assert found.ids.tolist() == DenseRetriever(dense, TEXTS)(["sort values"], 5).ids.tolist()


def test_the_working_directory_is_written_in_place(
    dense: DenseEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert encode(dense, Path()).ids() == CORPUS.ids
    assert shard_path(tmp_path, 0).is_file()


def test_sparse_vectors(tiny_mlm_folder: Path, tmp_path: Path) -> None:
    model = SparseEncoder.from_pretrained(tiny_mlm_folder)
    vectors = encode(model, tmp_path).vectors()
    assert isinstance(vectors, SparseRows)
    wanted = model.encode_documents(TEXTS)
    torch.testing.assert_close(vectors.dense(model.width), wanted.dense(model.width), atol=1e-5, rtol=1e-5)
    found = SparseRetriever(model, vectors=vectors, width=model.width)(["sort values"], 3)
    assert found.ids.tolist() == SparseRetriever(model, TEXTS)(["sort values"], 3).ids.tolist()


def test_token_vectors_of_16_bits(new_colbert: Callable[[], ColBERT], tmp_path: Path) -> None:
    model = new_colbert()
    corpus = encode(model, tmp_path, dtype=torch.float16)
    vectors, wanted = corpus.vectors(), model.encode_documents(TEXTS)
    assert isinstance(vectors, PackedTokens)
    assert vectors.cu_seqlens.tolist() == wanted.cu_seqlens.tolist()
    torch.testing.assert_close(vectors.embeddings, wanted.embeddings.half(), atol=1e-3, rtol=1e-3)
    part = corpus.shard(2).part(1, 4)
    assert (part.start, part.ids) == (11, CORPUS.ids[11:14])
    assert isinstance(part.vectors, PackedTokens)
    inside = slice(int(wanted.cu_seqlens[11]), int(wanted.cu_seqlens[14]))
    torch.testing.assert_close(part.vectors.embeddings, vectors.embeddings[inside], atol=0, rtol=0)
    assert part.vectors.cu_seqlens.tolist() == (wanted.cu_seqlens[11:15] - wanted.cu_seqlens[11]).tolist()


def test_only_what_is_missing_or_cut_off_is_done_again(
    dense: DenseEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = encode(dense, tmp_path)
    wanted = corpus.vectors()
    shard_path(tmp_path, 1).unlink()
    whole = shard_path(tmp_path, 3).read_bytes()
    shard_path(tmp_path, 3).write_bytes(whole[:-7])
    assert corpus.missing() == [1, 3]
    with pytest.raises(InputError, match=r"000001\.safetensors is missing: the same encoding command goes on"):
        corpus.vectors()
    with pytest.raises(InputError, match=r"000003\.safetensors is cut off or damaged"):
        corpus.shard(3)
    seen: list[str] = []
    encode_documents = dense.encode_documents
    monkeypatch.setattr(
        dense, "encode_documents", lambda texts, **o: seen.extend(texts) or encode_documents(texts, **o)
    )
    assert torch.equal(torch.as_tensor(encode(dense, tmp_path).vectors()), torch.as_tensor(wanted))
    assert seen == [*TEXTS[5:10], *TEXTS[15:20]]
    seen.clear()
    encode(dense, tmp_path)
    assert seen == []
    encode(dense, tmp_path, overwrite=True)
    assert len(seen) == len(TEXTS)


def test_a_stopped_run_keeps_its_whole_shards(
    dense: DenseEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_documents = dense.encode_documents

    def stop(texts: tuple[str, ...], **options: int) -> torch.Tensor:
        if TEXTS[12] in texts and len(texts) == 5 and texts[2] == TEXTS[12]:
            raise MemoryError("full")
        return encode_documents(texts, **options)

    monkeypatch.setattr(dense, "encode_documents", stop)
    with pytest.raises(MemoryError):
        encode(dense, tmp_path)
    assert EncodedCorpus(tmp_path).missing() == [2, 3, 4]
    assert [path.suffix for path in tmp_path.iterdir()].count(".part") == 0


def test_lines_say_how_far_it_is(dense: DenseEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encode(dense, tmp_path, progress=True, batch_size=1, shard_size=20)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"encoded {done}/3 batches" for done in (1, 2, 3)]
    assert ProgressLines().lines == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard_size": 6}, "was encoded with other shard_size: name another folder"),
        ({"settings": {"model": "another"}}, "was encoded with other settings"),
        ({"dtype": torch.float16}, "was encoded with other dtype"),
        ({"devices": 0}, "devices=0: expected at least 1"),
        ({"batch_size": 0}, "batch_size=0: expected at least 1"),
    ],
)
def test_bad_input(dense: DenseEncoder, tmp_path: Path, options: dict[str, object], message: str) -> None:
    encode(dense, tmp_path)
    with pytest.raises(InputError, match=message):
        encode(dense, tmp_path, **options)


def test_other_files_and_manifests(dense: DenseEncoder, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear reader")
    with pytest.raises(InputError, match="holds other files"):
        encode(dense, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"manifest\.json is missing"):
        EncodedCorpus(tmp_path)
    for content, message in (("{", "is damaged"), ("{}", "another format"), ('{"format_version": 1}', "no complete")):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(InputError, match=message):
            EncodedCorpus(tmp_path)


def test_a_manifest_of_another_program_is_left_alone(dense: DenseEncoder, tmp_path: Path) -> None:
    files = {"manifest.json": '{"name": "my web app"}', "model.safetensors": "weights"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="is not that of an encoded corpus: name another folder"):
        encode(dense, tmp_path, overwrite=True)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="is not that of an encoded corpus"):
        encode(dense, tmp_path, overwrite=True)
    assert (tmp_path / "model.safetensors").read_text() == "weights"
    # A damaged one of ours is replaced.
    (tmp_path / "model.safetensors").rename(tmp_path / "000009.safetensors")
    encode(dense, tmp_path, overwrite=True)
    assert EncodedCorpus(tmp_path).ids() == CORPUS.ids
    assert not (tmp_path / "000009.safetensors").exists()


def test_two_processes_share_the_shards(dense: DenseEncoder, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    lines = [f'{{"_id": "{name}", "text": "{text}"}}' for name, text in zip(CORPUS.ids, TEXTS, strict=True)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    words = ["encode", tiny_encoder_folder, "--corpus", "corpus.jsonl", "--out", "out", "--devices", 2]
    words += ["--accelerator", "cpu", "--shard-size", 5, "--batch-size", 2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "TOKENIZERS_PARALLELISM": "false"}
    script = tmp_path / "script.py"
    script.write_text(
        "from rankgrad.cli.main import main\n\nif __name__ == '__main__':\n    raise SystemExit(main())\n"
    )
    command = [sys.executable, "-W", "error", str(script), *map(str, words)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stderr
    corpus = EncodedCorpus(tmp_path / "out")
    assert corpus.ids() == CORPUS.ids
    torch.testing.assert_close(torch.as_tensor(corpus.vectors()), dense.encode_documents(TEXTS), atol=1e-6, rtol=1e-5)
    assert done.stderr.count("23 documents are in 5 shards") == 1
    # The first process has the shards 0, 2 and 4.
    assert "encoded 3/3 batches of the first of 2 processes" in done.stderr
