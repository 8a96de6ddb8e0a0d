"""A ranker compiled ahead of time: machine code that torch loads without compiling, on a CPU or a GPU like this one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad import __version__, deploy
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad.data.collate import TextTokens
from rankgrad.deploy.bundle import TOKENIZER, fingerprint
from rankgrad.export.files import longest, tokenizer_settings
from rankgrad.export.onnx import Ranker
from rankgrad.export.package_files import MARKER, MODEL, Package, machine, read_package, read_tokenizer
from rankgrad.export.parity import ParityError, relative_difference
from rankgrad.export.probe import Shape, random_tokens, shapes
from rankgrad.export.token_graph import INPUTS, TokenGraph, as_ranker, kind_of
from rankgrad.models import ColBERT
from rankgrad.models._batches import on_device
from rankgrad.models._folder import write_json

_HARMLESS_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\).* is deprecated",
    r"`torch\.jit\.script_method` is deprecated",
)


def export_package(
    model: Ranker, folder: str | Path, *, tolerance: float | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """Compile a ranker with AOTInductor and write it as a folder that :func:`load_package` opens in a second or two.

    The package runs on the kind of device that the model is on, with any number of rows and any length. It is machine
    code: for this kind of CPU or GPU, and for this version of torch. If it disagrees with the model, or anything else
    fails, nothing is written, and what was at ``folder`` stays.

    Args:
        model: a :class:`rankgrad.models.CrossEncoder` or :class:`rankgrad.models.ColBERT` in evaluation mode, of any
            dtype; it is left as it was.
        folder: a new or empty folder, or an older package, which is replaced.
        tolerance: largest difference of the package's output to the model's, relative to the largest output (but at
            least 1); None = 1e-5 in float32, 0.02 in half precision.
        overwrite: replace a folder that holds other files, too.

    Returns:
        what the package says of itself: kind, settings, machine, files, agreement.

    Raises:
        TypeError: for a model of another kind.
        ParityError: when the package disagrees with the model.
        InputError: for a model in training mode or without a graph of padded tokens, or a folder that may not be
            replaced.
    """
    kind, folder = kind_of(model), Path(folder)
    if not (overwrite and folder.is_dir()):
        check_replaceable(folder, MARKER)
    dtype = next(model.parameters()).dtype
    if tolerance is None:
        tolerance = 1e-5 if dtype == torch.float32 else 0.02
    with atomic_folder(folder) as temporary:
        _compile(model, kind, temporary / MODEL)
        model.tokenizer.tokenizer.save(str(temporary / TOKENIZER))
        found = Package(
            kind=kind,
            machine=machine(model.device.type),
            tokenizer=tokenizer_settings(model),
            dim=model.dim if isinstance(model, ColBERT) else 1,
            longest=longest(model),
            pad_id=model.tokenizer.pad_id,
            files={name: fingerprint(temporary / name) for name in (MODEL, TOKENIZER)},
        )
        difference = _difference(model, _graph(temporary, found), kind, tolerance)
        content = {"rankgrad_version": __version__, "dtype": str(dtype).removeprefix("torch.")} | found.content()
        content |= {"parity": {"tolerance": tolerance, "difference": difference}}
        write_json(temporary / MARKER, content)
    return content


def load_package(folder: str | Path) -> deploy.CrossEncoder | deploy.ColBERT:
    """Open what :func:`export_package` wrote; it runs on the kind of device that it was made for.

    The package holds machine code that is run: load none whose origin you do not know.

    Returns:
        what :func:`rankgrad.deploy.load` gives for a bundle: texts in; scores, embeddings and orders out, in numpy.

    Raises:
        InputError: for a folder that is missing, is no package, was made for another machine or version of torch, or
            holds a damaged file.
    """
    folder = Path(folder)
    found = read_package(folder)
    tokenizer = read_tokenizer(folder, found)
    return as_ranker(_graph(folder, found), tokenizer, dim=found.dim)


class _Tokens(nn.Module):
    """A ranker whose forward is its graph of tokens."""

    def __init__(self, ranker: Ranker) -> None:
        super().__init__()
        self.ranker = ranker

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.ranker.forward_tokens(*inputs)


def _compile(model: Ranker, kind: str, path: Path) -> None:
    # No size of 0 or 1, which would be taken as fixed; a padding that keeps the mask in.
    rows = random_tokens(model.tokenizer, Shape(2, 8, padding=3))
    batch: TextTokens = on_device(rows, np.arange(2), model.device)
    example = tuple(getattr(batch, name) for name in INPUTS[kind])
    free = dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC)
    with _quiet(), torch.no_grad():
        program = torch.export.export(
            _Tokens(model), example, dynamic_shapes={"inputs": tuple(free for _ in example)}, strict=False
        )
        # Else the code would ask for as many threads as there are here, wherever it runs.
        options = {"cpp.dynamic_threads": True}
        torch._inductor.aoti_compile_and_package(program, package_path=str(path), inductor_configs=options)


def _graph(folder: Path, package: Package) -> TokenGraph:
    return TokenGraph(
        opened(folder / MODEL),
        kind=package.kind,
        device=torch.device(package.machine["device"]),
        pad_id=package.pad_id,
        longest=package.longest,
    )


def opened(path: Path) -> Callable[..., Tensor]:
    """The function in a ``.pt2`` file.

    ``torch._inductor.aoti_load_package`` does the same after it has loaded the compiler, and built small libraries to
    learn what this CPU can do, which took 20 seconds; what the code needs was checked before.
    """
    loader = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", False, 1, -1)  # type: ignore[attr-defined]
    return lambda *inputs: loader.run(list(inputs))[0]


def _difference(model: Ranker, compiled: TokenGraph, kind: str, tolerance: float) -> float:
    """The largest difference over all shapes.

    Raises:
        ParityError: naming the first shape that disagrees.
    """
    options: dict[str, Any] = {"kind": kind, "device": model.device}
    eager = TokenGraph(model.forward_tokens, **options, pad_id=compiled.pad_id, longest=compiled.longest)
    largest = 0.0
    for shape in shapes(compiled.longest):
        tokens = random_tokens(model.tokenizer, shape)
        difference = relative_difference(eager(tokens), compiled(tokens))
        if not difference <= tolerance:
            raise ParityError(
                f"the package disagrees with the model at {shape}: relative difference {difference:.2g}, tolerance "
                f"{tolerance:.2g}; nothing is written"
            )
        largest = max(largest, difference)
    return largest


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence deprecations inside torch."""
    with warnings.catch_warnings():
        for message in _HARMLESS_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        yield
