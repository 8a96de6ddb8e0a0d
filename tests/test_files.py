"""Folders that are written whole: through links, and never from below the process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rankgrad._checks import InputError
from rankgrad._files import atomic_folder, check_replaceable

MARKER = "marker.json"


def write(path: Path, content: str) -> None:
    with atomic_folder(path) as temporary:
        (temporary / MARKER).write_text(content)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("relative", [True, False])
def test_what_a_link_points_to_is_replaced(tmp_path: Path, there: bool, relative: bool) -> None:
    target, links = tmp_path / "elsewhere" / "target", tmp_path / "links"
    links.mkdir()
    target.parent.mkdir()
    if there:
        write(target, "old")
    link = links / "link"
    link.symlink_to(os.path.relpath(target, links) if relative else target)
    write(link, "new")
    assert link.is_symlink()
    assert (link.resolve(), (target / MARKER).read_text()) == (target, "new")
    assert not target.is_symlink()
    assert [each.name for each in links.iterdir()] == ["link"]
    assert [each.name for each in target.parent.iterdir()] == ["target"]


def test_what_a_link_points_to_stays_where_the_work_fails(tmp_path: Path) -> None:
    write(tmp_path / "target", "old")
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "link"):
        raise RuntimeError
    assert (tmp_path / "link" / MARKER).read_text() == "old"
    assert {each.name for each in tmp_path.iterdir()} == {"link", "target"}


@pytest.mark.parametrize("path", [".", "..", "below/..", "link", "{here}"])
@pytest.mark.parametrize("marked", [True, False])
def test_the_working_directory_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, marked: bool
) -> None:
    here = tmp_path / "around" / "here"
    (here / "below").mkdir(parents=True)
    (here / "link").symlink_to(here)
    # A folder that holds something else is refused for that.
    for folder in (here, here.parent) if marked else ():
        (folder / MARKER).touch()
    monkeypatch.chdir(here)
    named = path.format(here=here)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="name a folder of its own" if marked else "name a new or empty folder"):
        check_replaceable(named, MARKER)
    with (
        pytest.raises(InputError, match="working directory and would be replaced: name a folder of its own"),
        atomic_folder(named),
    ):
        pytest.fail("the work was begun")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_working_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^\. is or holds the working directory"):
        check_replaceable(".", MARKER)
    check_replaceable("new", MARKER)
    check_replaceable(".", MARKER, in_place=True)
    (tmp_path / "other").touch()
    with pytest.raises(InputError, match="name a new or empty folder"):
        check_replaceable(".", MARKER, in_place=True)


def test_a_mount_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.ismount", lambda path: path == tmp_path)
    with (
        pytest.raises(InputError, match="is a mount, which cannot be replaced: name a folder inside it"),
        atomic_folder(tmp_path),
    ):
        pytest.fail("the work was begun")
    with pytest.raises(InputError, match="is a mount"):
        check_replaceable(tmp_path, MARKER)
    check_replaceable(tmp_path, MARKER, in_place=True)
    write(tmp_path / "inside", "new")
    assert [each.name for each in tmp_path.iterdir()] == ["inside"]


def test_a_folder_without_permission_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    for name, in_place in (("new", False), ("new/below", False), (".", True)):
        with pytest.raises(InputError, match=r"you have no permission in .*: name a folder elsewhere"):
            check_replaceable(tmp_path / name, MARKER, in_place=in_place)
    (tmp_path / "mine").mkdir()
    check_replaceable(tmp_path / "mine", MARKER, in_place=True)
