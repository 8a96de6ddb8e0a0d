"""Who serves the cross-encoder: ours in each form, each turned into a call that gives the scores of a list."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch

from benchmarks.latency_peers import peers
from rankgrad import deploy
from rankgrad.export import compile_ranker, export_package, load_package
from rankgrad.models import CrossEncoder
from rankgrad.types import Variant

Scores: TypeAlias = Callable[[str, list[str]], np.ndarray]


class Provider(NamedTuple):
    """Its name; whether its arithmetic is float32; and ``open``, which loads it and gives what scores a list.

    The first provider is the reference.
    """

    name: str
    exact: bool
    open: Callable[[], Scores]


def providers(folder: Path, threads: int, *, optimum: str | None, quick: bool) -> Iterator[Provider]:
    """Ours, then the others that are installed; who is not is named.

    Args:
        optimum: an interpreter with sentence-transformers and optimum-onnx; None = this one.
    """
    model = CrossEncoder.from_pretrained(folder / "model")
    yield Provider("rankgrad torch", True, lambda: _torch(model))
    yield from _compiled(model, folder, quick=quick)
    variants: tuple[tuple[Variant, bool], ...] = (("fp32", True), ("int8", False))
    for variant, exact in variants:
        yield Provider(
            f"rankgrad ONNX {variant}",
            exact,
            partial(_deployed, folder / "bundle", variant, threads),
        )
    for peer in peers(folder, threads, optimum=optimum):
        yield Provider(*peer)


def _compiled(model: CrossEncoder, folder: Path, *, quick: bool) -> Iterator[Provider]:
    names = ("rankgrad torch.compile", "rankgrad AOTInductor")
    if quick or not (shutil.which("c++") or shutil.which("g++")):
        for name in names:
            print(f"skipped: {name} ({'--quick' if quick else 'no compiler c++'})", flush=True)
        return
    yield Provider(names[0], True, lambda: _pairs(compile_ranker(model)))
    yield Provider(names[1], True, lambda: _packaged(model, folder / "package"))


def _packaged(model: CrossEncoder, folder: Path) -> Scores:
    export_package(model, folder, tolerance=1e-4)
    return _pairs(load_package(folder))


def _deployed(bundle: Path, variant: Variant, threads: int) -> Scores:
    return _pairs(deploy.load(bundle, variant=variant, threads=threads))


def _torch(model: CrossEncoder) -> Scores:
    @torch.inference_mode()
    def scores(query: str, documents: list[str]) -> np.ndarray:
        return model.score([query] * len(documents), documents).numpy()

    return scores


def _pairs(model: Any) -> Scores:
    return lambda query, documents: model.score([query] * len(documents), documents)
