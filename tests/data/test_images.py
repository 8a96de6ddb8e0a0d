"""Pictures as documents: files, the reader, batches of them, lists of their paths."""

from __future__ import annotations

import gzip
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rankgrad._checks import InputError, MissingExtraError
from rankgrad.data import (
    CandidateList,
    EpochLoader,
    ImageFeatures,
    ImagePath,
    ImageReader,
    ListCollate,
    ReadyLists,
    read_image,
    read_lists,
)
from rankgrad.data.streaming import stream_lists
from rankgrad.tokens import LateInteractionTokenizer, PairTokenizer

image = pytest.importorskip("PIL.Image", reason="needs Pillow")
COLORS = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


def processor(images: list[Any], return_tensors: str) -> dict[str, Tensor]:
    """Pictures of 2 x 2 pixels with values up to 255."""
    made = [np.asarray(one.resize((2, 2)), dtype=np.float32) for one in images]
    return {"pixel_values": torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2)}


@pytest.fixture
def reader(late_tokenizer: LateInteractionTokenizer) -> ImageReader:
    return ImageReader(late_tokenizer, processor)


@pytest.fixture
def pages(tmp_path: Path, write_picture: Callable[..., Path]) -> dict[str, ImagePath]:
    return {color: ImagePath(write_picture(tmp_path / f"{color}.png", color)) for color in COLORS}


@pytest.fixture
def lists(pages: dict[str, ImagePath]) -> list[CandidateList]:
    """Two lists of one query, which share a picture, and a list of another."""
    of = pages.__getitem__
    return [
        CandidateList("open a file", (of("red"), of("lime"), of("blue")), (1.0, 0.0, 0.0)),
        CandidateList("open a file", (of("blue"), of("white")), (2.0, 0.0)),
        CandidateList("sort a list", (of("lime"),), (1.0,)),
    ]


def colors_of(pixel_values: Tensor) -> list[tuple[int, ...]]:
    return [tuple(int(value) for value in one[:, 0, 0]) for one in pixel_values]


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("LA", (0, 255), (0, 0, 0)),
        ("I;16", 0x8001, (128, 128, 128)),
    ],
)
def test_any_mode_becomes_rgb_in_front_of_white(tmp_path: Path, mode: str, value: Any, expected: Any) -> None:
    path = tmp_path / ("a.tif" if mode in ("CMYK", "I;16") else "a.png")
    image.new(mode, (3, 2), value).save(path)
    picture = read_image(path)
    assert (picture.mode, picture.size, picture.getpixel((2, 1))) == ("RGB", (3, 2), expected)


def test_a_transparent_colour_of_a_palette_and_the_first_of_several_frames(tmp_path: Path) -> None:
    palette = image.new("P", (2, 2), 1)
    palette.putpalette([9, 9, 9, 200, 0, 0])
    palette.save(tmp_path / "a.gif", transparency=1)
    assert read_image(tmp_path / "a.gif").getpixel((0, 0)) == (255, 255, 255)
    frames = [image.new("RGB", (2, 2), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "b.tif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "b.tif").getpixel((0, 0)) == COLORS["red"]


def test_a_photograph_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    photograph = image.new("RGB", (3, 2), "white")
    photograph.putpixel((0, 0), COLORS["blue"])
    exif = image.Exif()
    exif[0x0112] = 6  # "the top of the scene is on the right": turn by 90 degrees, clockwise
    photograph.save(tmp_path / "a.png", exif=exif)
    picture = read_image(tmp_path / "a.png")
    assert picture.size == (2, 3)
    assert picture.getpixel((1, 0)) == COLORS["blue"]


@pytest.mark.parametrize("kind", ["png", "jpg", "text", "empty", "bomb"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"page.{kind}"
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    if kind in ("png", "jpg"):
        image.fromarray(noise).save(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "bomb":
        image.fromarray(noise).save(path, format="png")
        monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 100)
    else:
        path.write_text("no picture" if kind == "text" else "")
    with pytest.raises(InputError, match=rf"page\.{kind}: cannot be read as an image \("):
        read_image(path)


def test_nothing_there_and_no_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (tmp_path / "none.png", "a text " * 100):
        with pytest.raises(FileNotFoundError, match="no image file"):
            read_image(name)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingExtraError, match=r'pip install "rankgrad\[images\]"'):
        read_image(tmp_path / "none.png")


def test_slots_lead_to_the_right_pictures_and_each_is_opened_once(
    reader: ImageReader, lists: list[CandidateList], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, really = [], image.open
    monkeypatch.setattr(image, "open", lambda path: opened.append(str(path)) or really(path))
    batch = ListCollate(reader)(lists)
    assert isinstance(batch.features, ImageFeatures)
    assert sorted(opened) == sorted({document for one in lists for document in one.documents})
    found = [colors_of(batch.features.pixel_values[row]) for row in batch.features.slots]
    for one, row, labels, mask in zip(lists, found, batch.labels, batch.mask, strict=True):
        count = len(one.documents)
        assert row[:count] == [COLORS[Path(document).stem] for document in one.documents]
        assert labels.tolist() == [*one.labels, *[0.0] * (3 - count)]
        assert mask.tolist() == [True] * count + [False] * (3 - count)


def test_pictures_of_other_lists_are_negatives_but_not_of_their_own_query(
    reader: ImageReader, lists: list[CandidateList]
) -> None:
    batch = ListCollate(reader, in_batch_negatives=True)(lists)
    assert isinstance(batch.features, ImageFeatures)
    assert batch.features.slots is None
    assert colors_of(batch.features.pixel_values) == [COLORS[color] for color in ("red", "lime", "blue", "white")]
    assert batch.labels.tolist() == [[1, 0, 0, 0], [0, 0, 2, 0], [0, 1, 0, 0]]
    # "red" answers the second list's query too, which did not name it; "blue" is named by the first list itself.
    assert batch.mask.tolist() == [[True] * 4, [False, True, True, True], [True] * 4]
    queries = batch.features.queries.input_ids
    assert torch.equal(queries[0], queries[1])
    assert not torch.equal(queries[0], queries[2])


def test_teacher_scores_come_along(reader: ImageReader, lists: list[CandidateList]) -> None:
    one = CandidateList(lists[1].query, lists[1].documents, lists[1].labels, (0.5, 0.25))
    assert ListCollate(reader)([one]).teacher_scores.tolist() == [[0.5, 0.25]]


def test_a_collate_reaches_a_worker(reader: ImageReader, lists: list[CandidateList]) -> None:
    again = pickle.loads(pickle.dumps((ListCollate(reader), lists)))
    assert isinstance(again[1][0].documents[0], ImagePath)
    assert torch.equal(again[0](again[1]).features.pixel_values, ListCollate(reader)(lists).features.pixel_values)


def test_workers_open_the_pictures_and_name_a_broken_one(reader: ImageReader, lists: list[CandidateList]) -> None:
    loader = EpochLoader(ReadyLists(lists), ListCollate(reader), batch_size=2, shuffle=False, workers=1)
    try:
        first = next(iter(loader)).features
        assert torch.equal(first.pixel_values, ListCollate(reader)(lists[:2]).features.pixel_values)
        Path(lists[2].documents[0]).write_bytes(b"")
        with pytest.raises(InputError, match=r"lime\.png: cannot be read as an image"):
            list(loader)
    finally:
        loader.close()


def test_what_a_processor_does_not_take_is_named(late_tokenizer: LateInteractionTokenizer, pages) -> None:
    def refuse(images: list[Any], return_tensors: str) -> dict[str, Tensor]:
        raise ValueError("too small")

    def as_wide_as_it_comes(images: list[Any], return_tensors: str) -> dict[str, Tensor]:
        return {"pixel_values": torch.zeros(1, 3, 2, images[0].width)}

    with pytest.raises(InputError, match=r"red\.png: the image processor refuses it \(too small\)"):
        ImageReader(late_tokenizer, refuse).images([pages["red"]])
    with pytest.raises(InputError, match=r"image 1 .*made \[3, 2, 5\] of it and \[3, 2, 20\] of others"):
        ImageReader(late_tokenizer, as_wide_as_it_comes).images([pages["red"], image.new("RGB", (5, 5))])
    with pytest.raises(InputError, match="no image given"):
        ImageReader(late_tokenizer, refuse).images([])


def test_models_of_texts_refuse_pictures(
    pair_tokenizer: PairTokenizer, late_tokenizer: LateInteractionTokenizer, lists: list[CandidateList]
) -> None:
    for tokenizer in (pair_tokenizer, late_tokenizer):
        with pytest.raises(InputError, match=r"'open a file' holds images \(.*red\.png\), and the model reads texts"):
            ListCollate(tokenizer)(lists)


@pytest.mark.parametrize("name", ["lists.jsonl", "lists.jsonl.gz"])
def test_paths_are_relative_to_the_file(tmp_path: Path, write_picture: Callable[..., Path], name: str) -> None:
    write_picture(tmp_path / "scans" / "1.png", "red")
    outside = write_picture(tmp_path / "2.png", "blue")
    row = {"query": "q", "images": ["scans/1.png", str(outside)], "labels": [1, 0], "teacher_scores": [3, 2]}
    write = gzip.open if name.endswith("gz") else open
    with write(tmp_path / name, "wt") as file:
        file.write(json.dumps(row) + "\n")
    for found in (list(read_lists(tmp_path / name)), list(stream_lists(tmp_path / name))):
        assert found == [CandidateList("q", (str(tmp_path / "scans/1.png"), str(outside)), (1.0, 0.0), (3.0, 2.0))]
        assert all(isinstance(document, ImagePath) for document in found[0].documents)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"images": ["1.png", "2.png"]}, r"lists\.jsonl:1: no image file .*2\.png: paths are relative to the folder"),
        ({"images": ["1.png"], "documents": ["a"]}, r"lists\.jsonl:1: holds documents and images"),
        ({"images": "1.png"}, r"lists\.jsonl:1: field 'images' must be a list"),
        ({"images": ["1.png"]}, r"lists\.jsonl:1: labels of query 'q': got 2 for 1"),
    ],
)
def test_a_line_that_cannot_be_used(tmp_path: Path, write_picture, fields: dict[str, Any], message: str) -> None:
    write_picture(tmp_path / "1.png", "red")
    (tmp_path / "lists.jsonl").write_text(json.dumps({"query": "q", "labels": [1, 0], **fields}))
    with pytest.raises(InputError, match=message):
        list(read_lists(tmp_path / "lists.jsonl"))
