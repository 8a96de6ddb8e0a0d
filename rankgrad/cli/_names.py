"""What models are called in tables, by their folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rankgrad._checks import InputError
from rankgrad.cli._load import is_bundle


def model_names(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: its own, or its run's; folders above come before it where two would have the same.

    A bundle and a trained model may share one, since what a bundle is measured with stands behind it.

    Args:
        folders: of models and bundles.

    Raises:
        InputError: for a folder that is given twice, or that does not exist.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> folders = [root / "a/model", root / "b/model/best", root / "other"]
        >>> for folder in folders:
        ...     folder.mkdir(parents=True)
        >>> model_names(folders)
        ['a/model', 'b/model', 'other']
    """
    # A run keeps its model in `best`, which says nothing of the model.
    paths = [path.parent if path.name == "best" else path for path in (folder.resolve() for folder in folders)]
    kinds = [is_bundle(folder) for folder in folders]
    depths = [1] * len(paths)
    while True:
        names = ["/".join(path.parts[-depth:]) for path, depth in zip(paths, depths, strict=True)]
        labels = list(zip(names, kinds, strict=True))
        repeated = [place for place, label in enumerate(labels) if labels.count(label) > 1]
        if not repeated:
            return names
        if all(depths[place] >= len(paths[place].parts) for place in repeated):
            raise InputError(f"--model: {folders[repeated[0]]} is given twice: leave one of them out")
        for place in repeated:
            depths[place] += 1
