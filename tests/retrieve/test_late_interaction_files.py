"""A late-interaction index on disk: it comes back whole and mapped; other and damaged folders are refused by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from rankgrad._checks import InputError
from rankgrad._index_files import read_index, write_index
from rankgrad.modules import Muvera
from rankgrad.retrieve import LateInteractionRetriever
from rankgrad.retrieve._token_store import CODECS
from rankgrad.types import PackedTokens


class OneHot(nn.Module):
    """One token a letter, near to one axis each."""

    def encode_queries(self, texts: Any) -> Any:
        width = max(map(len, texts))
        rows = torch.tensor([[ord(letter) % 16 for letter in text.ljust(width)] for text in texts])
        return 0.9 * torch.eye(16)[rows] + 0.1, torch.tensor(
            [[place < len(text) for place in range(width)] for text in texts]
        )

    def encode_documents(self, texts: Any) -> PackedTokens:
        rows = [ord(letter) % 16 for text in texts for letter in text]
        return PackedTokens(0.9 * torch.eye(16)[rows] + 0.1, torch.tensor([0, *map(len, texts)]).cumsum(0))


TEXTS = ["ab", "bé", "ca", "abcd", "d"] * 3


def made(**options: Any) -> LateInteractionRetriever:
    return LateInteractionRetriever(OneHot(), TEXTS, **options).index()


def muvera() -> Muvera:
    return Muvera(16, repetitions=4, partition_bits=2, projection_dim=8, final_dim=100)


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize(
    "options", [*({"codec": codec} for codec in CODECS), {"muvera": 1}, {"muvera": 1, "factory": "IVF2,Flat"}]
)
def test_an_index_survives(options: dict[str, Any], mmap: bool, tmp_path: Path) -> None:
    if "factory" in options:
        pytest.importorskip("faiss", reason="FAISS is an optional extra")
    with_muvera = "muvera" in options
    options = {**options, "muvera": muvera() if with_muvera else None}
    retriever = made(**options)
    retriever.delete([1, 4])
    retriever.add(["dd"])
    before = retriever(["ab", "dc"], 7)
    retriever.save_index(tmp_path / "index", notes={"model": "x"})
    alone = LateInteractionRetriever.load(tmp_path / "index", OneHot(), mmap=mmap)
    fresh: dict[str, Any] = {**options, "muvera": muvera() if with_muvera else None}
    again = LateInteractionRetriever(OneHot(), **fresh)
    for other in (alone, again.load_index(tmp_path / "index", mmap=mmap)):
        assert all(torch.equal(one, two) for one, two in zip(other(["ab", "dc"], 7), before, strict=True))
        assert other.texts == retriever.texts
        assert other.notes == {"model": "x"}
        assert other.add(["b"]).tolist() == [16]
        other.save_index(tmp_path / "index")
        assert LateInteractionRetriever.load(tmp_path / "index", OneHot()).documents == 15
        retriever.save_index(tmp_path / "index", notes={"model": "x"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"]
    assert len(list((tmp_path / "index").iterdir())) == 2


@pytest.mark.parametrize("options", [{"codec": "residual2"}, {"factory": "Flat"}, {"factory": "HNSW8"}])
def test_state_dict(options: dict[str, Any], tmp_path: Path) -> None:
    if "factory" in options:
        pytest.importorskip("faiss", reason="FAISS is an optional extra")
    one = made(muvera=muvera(), **options)
    one.delete([3])
    other = LateInteractionRetriever(OneHot(), one.texts, muvera=muvera(), **options)
    torch.save(one.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for here, there in zip(one(["ab", "dc"], 9), other(["ab", "dc"], 9), strict=True):
        assert torch.equal(here, there)
    assert other.next_id == 15
    with pytest.raises(InputError, match="the state indexes 14 documents, not these 15: pass the same ones"):
        LateInteractionRetriever(OneHot(), TEXTS, muvera=muvera(), **options).load_state_dict(one.state_dict())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_mapped_index_stays_on_disk_and_outlives_its_file(tmp_path: Path) -> None:
    made().save_index(tmp_path / "index")
    mapped, read = (LateInteractionRetriever.load(tmp_path / "index", OneHot(), mmap=mmap) for mmap in (True, False))
    maps = Path("/proc/self/maps").read_text()
    assert str(tmp_path / "index") in maps
    before = mapped(["ab"], 5)
    read.delete(range(1, 15))
    read.save_index(tmp_path / "index")
    assert torch.equal(mapped(["ab"], 5).scores, before.scores)
    del mapped
    assert str(tmp_path / "index") not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codec": "int8"}, "is of codec='fp16', not 'int8'"),
        ({"muvera": "None"}, "is of muvera={'dim': 16"),
        ({"muvera": "other"}, "'seed': 0}, not {'dim': 16.*'seed': 5}"),
        ({"factory": "Flat"}, "is of factory=None, not 'Flat'"),
        ({"documents": TEXTS[:3]}, "indexes 15 other documents than these 3"),
        ({"documents": TEXTS[::-1]}, "indexes 15 other documents than these 15"),
    ],
)
def test_an_index_of_something_else(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    if "factory" in options:
        pytest.importorskip("faiss", reason="FAISS is an optional extra")
    made(muvera=muvera()).save_index(tmp_path / "index")
    kinds = {
        "None": None,
        "other": Muvera(16, repetitions=4, partition_bits=2, projection_dim=8, final_dim=100, seed=5),
    }
    options = {"muvera": muvera()} | options
    if isinstance(options["muvera"], str):
        options["muvera"] = kinds[options["muvera"]]
    retriever = LateInteractionRetriever(OneHot(), **options)
    with pytest.raises(InputError, match=message):
        retriever.load_index(tmp_path / "index")


def test_search_parameters_without_a_faiss_index(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="says nothing without a factory string: pass factory too"):
        LateInteractionRetriever(OneHot(), TEXTS, muvera=muvera(), faiss_search={"nprobe": 2})
    made(muvera=muvera()).save_index(tmp_path / "index")
    with pytest.raises(InputError, match=r"faiss_search={.nprobe.: 2}: .*index has no FAISS index: leave it out"):
        LateInteractionRetriever.load(tmp_path / "index", OneHot(), faiss_search={"nprobe": 2})


def test_an_index_of_another_dimension(tmp_path: Path) -> None:
    LateInteractionRetriever(OneHot(), embeddings=PackedTokens(torch.eye(8), torch.tensor([0, 8]))).save_index(
        tmp_path / "index"
    )
    loaded = LateInteractionRetriever.load(tmp_path / "index", OneHot())
    with pytest.raises(InputError, match="queries have 16 dimensions, the index 8: it is another encoder's"):
        loaded(["a"], 1)
    with pytest.raises(InputError, match="documents have 16 dimensions, the index 8"):
        loaded.add(["a"])


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def edited(folder: Path) -> None:
        settings = json.loads((folder / "index.json").read_text())
        change(settings)
        (folder / "index.json").write_text(json.dumps(settings))

    return edited


def drop(name: str) -> Callable[[Path], object]:
    def dropped(folder: Path) -> None:
        path = folder / "index.safetensors"
        tensors = {key: tensor.clone() for key, tensor in load_file(path).items() if key != name}
        save_file(tensors, path)

    return dropped


def cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-9])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut("index.safetensors"), r"index\.safetensors is cut off or damaged"),
        (cut("index.json"), r"index\.json:1: .*write the index again"),
        (lambda folder: (folder / "index.json").write_text("[]"), "holds no settings but list"),
        (lambda folder: (folder / "index.json").write_bytes(b"\xff"), "write the index again"),
        (edit(lambda settings: settings.pop("codec")), "is no complete index"),
        (edit(lambda settings: settings.pop("next_id")), "is no complete index"),
        (edit(lambda settings: settings.update(documents=4)), "is no complete index"),
        (edit(lambda settings: settings.update(kind="dense")), "describes .'dense', 1., expected"),
        (edit(lambda settings: settings.update(tensors="../elsewhere")), "names tensors outside its folder"),
        (edit(lambda settings: settings["muvera"].update(dim=8)), "is no complete index"),
        (drop("tokens.codes"), "is no complete index .*needs codes"),
        (drop("tokens.factors"), "is no complete index .*needs factors"),
        (drop("encodings.muvera.signs"), "is no complete index .*muvera.signs"),
        (drop("encodings.encodings"), "is no complete index .*encodings"),
        (drop("texts.bytes"), "is no complete index .*bytes"),
        (drop("ids"), "is no complete index .*ids"),
    ],
)
def test_damaged_folders(damage: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    made(muvera=muvera(), codec="int8").save_index(tmp_path / "index")
    damage(tmp_path / "index")
    with pytest.raises(InputError, match=message):
        LateInteractionRetriever.load(tmp_path / "index", OneHot())


def test_half_written_and_strange_folders(tmp_path: Path) -> None:
    retriever = made()
    retriever.save_index(tmp_path / "index")
    (tmp_path / "index" / "index.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"index\.safetensors is missing"):
        LateInteractionRetriever.load(tmp_path / "index", OneHot())
    retriever.save_index(tmp_path / "index")
    assert LateInteractionRetriever.load(tmp_path / "index", OneHot()).documents == 15
    (tmp_path / "index" / "index.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"index\.json is missing"):
        LateInteractionRetriever.load(tmp_path / "index", OneHot())
    with pytest.raises(FileNotFoundError, match=r"index\.json is missing"):
        LateInteractionRetriever.load(tmp_path / "nowhere", OneHot())
    (tmp_path / "letter.txt").write_text("dear reader")
    with pytest.raises(InputError, match="holds other files"):
        retriever.save_index(tmp_path)


def test_others_may_read_what_the_settings_let_them(tmp_path: Path) -> None:
    for version in (1, 2):
        write_index(tmp_path / "index", "kind", {"x": torch.zeros(3)}, {"version": version})
        modes = {path.stat().st_mode for path in (tmp_path / "index").iterdir()}
        assert len(modes) == 1


def test_a_failed_write_leaves_the_older_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_index(tmp_path / "index", "kind", {"x": torch.zeros(3)}, {"version": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_index(tmp_path / "index", "kind", {"x": torch.ones(3)}, {"version": object()})
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["index.json", "index.safetensors"]
    tensors, settings = read_index(tmp_path / "index", "kind")
    assert (settings["version"], tensors["x"].tolist()) == (1, [0.0, 0.0, 0.0])
