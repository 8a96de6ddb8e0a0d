"""A ranker compiled ahead of time: machine code that torch loads without compiling, on a CPU or a GPU like this one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rankgrad import __version__
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad.deploy.bundle import TOKENIZER
from rankgrad.export.package_files import MARKER, MODEL, Package, read_package
from rankgrad.export.package_kinds import (
    FeatureGraph,
    Opened,
    Packaged,
    Traced,
    checked_kind,
    described,
    device_and_dtype,
    itself,
    opened_package,
    probes,
    runner,
    traced_with,
)
from rankgrad.export.parity import relative_difference, require_agreement
from rankgrad.export.token_graph import TokenGraph
from rankgrad.models import FeatureRanker
from rankgrad.models._folder import write_json

_HARMLESS_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\).* is deprecated",
    r"`torch\.jit\.script_method` is deprecated",
)


def export_package(
    model: Packaged, folder: str | Path, *, tolerance: float | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """Compile a ranker with AOTInductor and write it as a folder that :func:`load_package` opens in a second or two.

    The package runs on the kind of device that the model is on, with any number of rows and any length. It is machine
    code: for this kind of CPU or GPU, and for this version of torch. If it disagrees with the model, or anything else
    fails, nothing is written, and what was at ``folder`` stays.

    Args:
        model: a :class:`rankgrad.models.CrossEncoder`, :class:`rankgrad.models.ColBERT`,
            :class:`rankgrad.models.DenseEncoder`, :class:`rankgrad.models.SparseEncoder` or
            :class:`rankgrad.models.FeatureRanker` in evaluation mode, of any dtype, a feature ranker in float32; it is
            left as it was.
        folder: a new or empty folder, or an older package, which is replaced.
        tolerance: largest difference of the package's output to the model's, relative to the largest output (but at
            least 1); None = 1e-5 in float32, 0.02 in half precision.
        overwrite: replace a folder that holds other files, too.

    Returns:
        what the package says of itself: kind, settings, machine, files, agreement.

    Raises:
        TypeError: for a model of another kind.
        ParityError: when the package disagrees with the model.
        InputError: for a model in training mode, without a graph of padded tokens, or not fitted, or a folder that may
            not be replaced.
    """
    folder = Path(folder)
    checked_kind(model)
    if not (overwrite and folder.is_dir()):
        check_replaceable(folder, MARKER)
    dtype = device_and_dtype(model)[1]
    if tolerance is None:
        tolerance = 1e-5 if dtype == torch.float32 else 0.02
    with atomic_folder(folder) as temporary:
        _compile(model, temporary / MODEL)
        if not isinstance(model, FeatureRanker):
            model.tokenizer.tokenizer.save(str(temporary / TOKENIZER))
        found = described(model, temporary)
        difference = _difference(model, found, runner(opened(temporary / MODEL), found), tolerance)
        content = {"rankgrad_version": __version__, "dtype": str(dtype).removeprefix("torch.")} | found.content()
        content |= {"parity": {"tolerance": tolerance, "difference": difference}}
        write_json(temporary / MARKER, content)
    return content


def load_package(folder: str | Path) -> Opened:
    """Open what :func:`export_package` wrote; it runs on the kind of device that it was made for.

    The package holds machine code that is run: load none whose origin you do not know.

    Returns:
        what :func:`rankgrad.deploy.load` gives for a bundle: texts or features in; scores, embeddings and orders out,
        in numpy.

    Raises:
        InputError: for a folder that is missing, is no package, was made for another machine or version of torch, or
            holds a damaged file.
    """
    folder = Path(folder)
    found = read_package(folder)
    return opened_package(folder, found, lambda: runner(opened(folder / MODEL), found))


def _compile(model: Packaged, path: Path) -> None:
    example = traced_with(model)
    free = dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC)
    with _quiet(), torch.no_grad():
        program = torch.export.export(
            Traced(model), example, dynamic_shapes={"inputs": tuple(free for _ in example)}, strict=False
        )
        # Else the code would ask for as many threads as there are here, wherever it runs.
        options = {"cpp.dynamic_threads": True}
        torch._inductor.aoti_compile_and_package(program, package_path=str(path), inductor_configs=options)


def opened(path: Path) -> Callable[..., Tensor]:
    """The function in a ``.pt2`` file.

    ``torch._inductor.aoti_load_package`` does the same after it has loaded the compiler, and built small libraries to
    learn what this CPU can do, which took 20 seconds; what the code needs was checked before.
    """
    loader = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", False, 1, -1)  # type: ignore[attr-defined]
    return lambda *inputs: loader.run(list(inputs))[0]


def _difference(model: Packaged, package: Package, compiled: TokenGraph | FeatureGraph, tolerance: float) -> float:
    """The largest difference over all shapes.

    Raises:
        ParityError: naming the first shape that disagrees.
    """
    eager = runner(itself(model), package)
    largest = 0.0
    for shape, rows in probes(model):
        difference = relative_difference(eager(rows), compiled(rows))
        require_agreement(difference, tolerance, f"the package disagrees with the model at {shape}:")
        largest = max(largest, difference)
    return largest


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence deprecations inside torch."""
    with warnings.catch_warnings():
        for message in _HARMLESS_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        yield
