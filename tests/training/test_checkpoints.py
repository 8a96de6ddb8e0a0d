from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy, ModelParallelStrategy

from rankgrad._checks import InputError
from rankgrad.training.checkpoints import (
    SafeCheckpointIO,
    check_one_file,
    checkpoint_path,
    checkpoints_in,
    last_good_checkpoint,
    read_checkpoint,
)


class Foreign:
    """A class that a checkpoint must not bring to life."""


def write(folder: Path, step: int, **more: object) -> Path:
    path = checkpoint_path(folder, step)
    SafeCheckpointIO().save_checkpoint(
        {"state_dict": {"w": torch.arange(1000.0)}, "global_step": step, "loops": {}, **more}, path
    )
    return path


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def overwrite_middle(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes(len(content) - 200) + content[-100:])


DAMAGE = {
    "truncated": truncate,
    "overwritten": overwrite_middle,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a checkpoint"),
    "foreign class": lambda path: torch.save({"state_dict": Foreign(), "global_step": 1, "loops": {}}, path),
    "plain weights": lambda path: torch.save({"w": torch.zeros(2)}, path),
    "a tensor": lambda path: torch.save(torch.zeros(2), path),
}


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "new" / "folder", 7)
    loaded = SafeCheckpointIO().load_checkpoint(path, weights_only=False)
    assert loaded["global_step"] == 7
    assert torch.equal(loaded["state_dict"]["w"], torch.arange(1000.0))
    assert [file.name for file in path.parent.iterdir()] == ["step-00000007.ckpt"]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_files_are_named(tmp_path: Path, damage) -> None:
    path = write(tmp_path, 3)
    damage(path)
    with pytest.raises(InputError, match=r"step-00000003\.ckpt is .*resume from an earlier checkpoint"):
        read_checkpoint(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"step-00000003\.ckpt"):
        read_checkpoint(checkpoint_path(tmp_path, 3))


@pytest.mark.parametrize(
    ("steps", "damaged", "found"),
    [((), (), None), ((5, 20), (), 20), ((5, 20, 100), (100,), 20), ((5, 20, 100), (20, 100), 5), ((5, 20), (5,), 20)],
)
def test_the_last_good_one(tmp_path: Path, steps, damaged, found: int | None) -> None:
    for step in steps:
        write(tmp_path, step)
    for step in damaged:
        truncate(checkpoint_path(tmp_path, step))
    skipped = sorted((checkpoint_path(tmp_path, step) for step in damaged if step > (found or 0)), reverse=True)
    expected = None if found is None else checkpoint_path(tmp_path, found)
    assert last_good_checkpoint(tmp_path) == (expected, skipped)


def test_all_damaged(tmp_path: Path) -> None:
    truncate(write(tmp_path, 3))
    with pytest.raises(InputError, match=r"every checkpoint in .* is damaged \(step-00000003\.ckpt\).*--overwrite"):
        last_good_checkpoint(tmp_path)


def test_a_folder_is_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path, 3)
    path = checkpoint_path(tmp_path, 5)
    path.mkdir()
    for read, place in ((last_good_checkpoint, tmp_path), (read_checkpoint, path)):
        with pytest.raises(InputError, match=r"step-00000005\.ckpt is a folder, .*: remove it .*--overwrite"):
            read(place)


def test_strategies_that_leave_weights_in_parts() -> None:
    for strategy in (DDPStrategy(), ModelParallelStrategy(save_distributed_checkpoint=False)):
        check_one_file(strategy)
    with pytest.raises(InputError, match="set its save_distributed_checkpoint to false, as configs/"):
        check_one_file(ModelParallelStrategy())
    with pytest.raises(InputError, match=r"FSDPStrategy \(FSDP1\) .*: take FSDP2, as configs/trainer/fsdp\.yaml"):
        check_one_file(FSDPStrategy())


def test_latest_first(tmp_path: Path) -> None:
    for step in (9, 100, 20):
        write(tmp_path, step)
    (tmp_path / ".step-00000200.ckpt.1.part").touch()
    assert [path.name for path in checkpoints_in(tmp_path)] == [f"step-{step:08d}.ckpt" for step in (100, 20, 9)]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path, 3)
    with pytest.raises(AttributeError):
        write(tmp_path, 3, unpicklable=lambda: 0)
    assert read_checkpoint(path)["global_step"] == 3
    assert list(tmp_path.iterdir()) == [path]


def test_removing(tmp_path: Path) -> None:
    path = write(tmp_path, 3)
    for _ in range(2):
        SafeCheckpointIO().remove_checkpoint(path)
    assert not path.exists()
