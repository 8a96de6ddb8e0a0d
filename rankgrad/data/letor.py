"""Learning-to-rank data as rows of features: svmlight (LETOR) files."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rankgrad._checks import InputError, require

_PAIR = re.compile(r"[1-9][0-9]*:[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|nan|inf)", re.IGNORECASE)


class FeatureTable(NamedTuple):
    """Rows of features in lists, those of a query together.

    Shape:
        features: float32 ``[rows, features]``.
        labels: float32 ``[rows]``.
        cu_seqlens: int64 ``[queries + 1]``; query i owns rows ``cu_seqlens[i]:cu_seqlens[i + 1]``.
        queries: their names.
    """

    features: Tensor
    labels: Tensor
    cu_seqlens: Tensor
    queries: tuple[str, ...]


def read_letor(
    path: str | PathLike, *, query_sizes: str | PathLike | None = None, features: int | None = None
) -> FeatureTable:
    """Read ``label qid:QUERY 1:VALUE 7:VALUE ... # comment`` lines (MSLR-WEB30K, Yahoo, Istella), one a document.

    scikit-learn reads the numbers. Features left out are 0; they are counted from 1.

    Args:
        path: the file.
        query_sizes: a file of the number of rows of each query, one a line, for rows without ``qid`` (LightGBM's and
            XGBoost's layout).
        features: how many there are, where a file does not show the highest; None = as many as it shows.

    Raises:
        FileNotFoundError: when a file is missing.
        InputError: naming file and line, for a malformed line, rows of a query that are apart, sizes that do not sum to
            the rows, or a feature number above ``features``.
        MissingExtraError: without scikit-learn.

    Example:
        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile("w") as file:
        ...     _ = file.write("2 qid:7 1:0.5 3:1\\n0 qid:7 2:4\\n1 qid:9 1:1\\n")
        ...     file.flush()
        ...     table = read_letor(file.name)
        >>> table.features.tolist(), table.cu_seqlens.tolist(), table.queries
        ([[0.5, 0.0, 1.0], [0.0, 4.0, 0.0], [1.0, 0.0, 0.0]], [0, 2, 3], ('7', '9'))
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"feature file not found: {path}")
    load = require("sklearn.datasets", "features").load_svmlight_file
    try:
        values, labels, ids = load(str(path), n_features=features, zero_based=False, query_id=True, dtype=np.float32)
    except (ValueError, OverflowError, UnicodeDecodeError) as error:
        raise InputError(_fault(path, features) or f"{path} cannot be read as svmlight lines ({error})") from error
    if not len(labels):
        raise InputError(f"{path} holds no rows")
    counts, names = _by_sizes(Path(query_sizes), path, len(labels)) if query_sizes else _by_ids(ids, path, len(labels))
    return FeatureTable(
        torch.from_numpy(values.toarray()),
        torch.from_numpy(labels.astype(np.float32)),
        torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])),
        names,
    )


def _by_ids(ids: np.ndarray, path: Path, rows: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rows of each query, and their names, from the ``qid`` of each row."""
    if len(ids) != rows:
        raise InputError(_fault(path, None, ids=True) or f"{path}: {rows} rows and {len(ids)} of them with qid")
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    names = ids[starts]
    if len(np.unique(names)) != len(names):
        places = {}
        for start, name in zip(starts.tolist(), names.tolist(), strict=True):
            if name in places:
                raise InputError(
                    f"{path}: qid {name} begins again in row {start + 1}, after other queries: "
                    "sort the file so that the rows of a query are together"
                )
            places[name] = start
    return np.diff(np.append(starts, rows)), tuple(str(name) for name in names.tolist())


def _by_sizes(sizes: Path, path: Path, rows: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rows of each query from a file of sizes; queries are named by their place, from 1."""
    if not sizes.is_file():
        raise FileNotFoundError(f"query sizes not found: {sizes}")
    counts = []
    for number, line in enumerate(sizes.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        if not line.strip().isdigit() or int(line) == 0:
            raise InputError(f"{sizes}:{number}: expected the number of rows of a query, got {line.strip()[:40]!r}")
        counts.append(int(line))
    if sum(counts) != rows:
        raise InputError(f"{sizes}: sizes sum to {sum(counts)}, but {path} holds {rows} rows")
    return np.asarray(counts), tuple(str(number) for number in range(1, len(counts) + 1))


def _fault(path: Path, features: int | None, *, ids: bool = False) -> str | None:
    """What is wrong with the first line that is."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            where = f"{path}:{number}:"
            try:
                float(words[0])
            except ValueError:
                return f"{where} expected a label first, got {words[0][:40]!r}"
            named = len(words) > 1 and words[1].startswith("qid:")
            if ids and not named:
                return f"{where} expected qid:QUERY behind the label; or pass the sizes of queries as query_sizes"
            if named and not words[1][4:].isdigit():
                return f"{where} expected a whole number behind qid:, got {words[1][4:44]!r}"
            before = 0
            for word in words[1 + named :]:
                if not _PAIR.fullmatch(word):
                    return f"{where} expected FEATURE:VALUE, features counted from 1, got {word[:40]!r}"
                feature = int(word.partition(":")[0])
                if feature <= before:
                    return f"{where} feature {feature} stands behind {before}: they must rise"
                if features is not None and feature > features:
                    return f"{where} feature {feature}, but there are {features}"
                before = feature
    return None
