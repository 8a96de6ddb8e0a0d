"""Is a bundle whole, does this machine run it, and does it still give the scores that torch gave?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from rankgrad._checks import InputError, require
from rankgrad.deploy.bundle import (
    FEATURE_RANKER,
    MARKER,
    Settings,
    Variant,
    check_file,
    graph_files,
    load,
    read_settings,
)
from rankgrad.deploy.samples import TAU_ROUNDING, compare_samples

State: TypeAlias = Literal["ok", "failed", "note"]
_NOT_RECORDED = ("README.md", MARKER)
_EXACT = ("fp32", "optimized")
# Kernels of 8 bits saturate on some CPUs; what is further off than this is another graph or another computation.
_ROUNDING_FACTOR, _ROUNDING = 10, 0.1


class Finding(NamedTuple):
    """What one check found: ``note`` is worth knowing and no failure."""

    state: State
    check: str
    message: str


def verify_bundle(folder: str | Path) -> list[Finding]:
    """Check the files of a bundle, load every graph, and score the recorded samples again; torch is not needed.

    Args:
        folder: what ``rankgrad export`` wrote.

    Raises:
        InputError: for a folder that is no bundle, or whose ``rankgrad.json`` cannot be read.
        MissingExtraError: without onnxruntime, or without tokenizers where the model reads texts.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    found = _files(folder, settings)
    damaged = {each.check for each in found if each.state == "failed"}
    for variant, graph in settings.graphs.items():
        broken = [name for name in graph_files(graph) if name in damaged]
        if broken:
            found.append(Finding("failed", f"graph {variant}", f"not tried: {broken[0]} is damaged"))
        else:
            found += _graph(folder, settings, cast("Variant", variant))
        if not graph.get("fit", True):
            found.append(Finding("note", f"graph {variant}", "is marked unfit: it lost too much nDCG, see README.md"))
    return found


def _files(folder: Path, settings: Settings) -> list[Finding]:
    recorded = {name: part for graph in settings.graphs.values() for name, part in graph_files(graph).items()}
    recorded |= settings.files or {}
    found = [_file(folder, name, entry) for name, entry in recorded.items()]
    if settings.files is None:
        if settings.kind != FEATURE_RANKER:
            text = "the bundle was made before their checksums were recorded: export it again to have them checked"
            found.append(Finding("note", "tokenizer and configuration", text))
        return found
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and name not in recorded and name not in _NOT_RECORDED:
            found.append(Finding("note", name, "is not one of the bundle's files; nothing reads it"))
    return found


def _file(folder: Path, name: str, entry: dict[str, Any]) -> Finding:
    try:
        check_file(folder / name, entry)
    except InputError as error:
        return Finding("failed", name, str(error))
    return Finding("ok", name, f"{entry['bytes']} bytes, SHA-256 as recorded")


def _graph(folder: Path, settings: Settings, variant: Variant) -> list[Finding]:
    """Does a graph load, and what does it make of the samples?"""
    version = require("onnxruntime", "serve").__version__
    made_for = f"opset {settings.opset}, " if settings.opset else ""
    name = f"graph {variant}"
    try:
        model = load(folder, variant=variant, threads=1)
    except InputError as error:
        return [Finding("failed", name, f"{error} ({made_for}onnxruntime {version})")]
    loads = Finding("ok", name, f"loads in onnxruntime {version} ({made_for}{settings.kind})")
    return [loads, _samples(model, settings, variant)]


def _samples(model: Any, settings: Settings, variant: Variant) -> Finding:
    name = f"scores {variant}"
    if settings.samples is None:
        return Finding("note", name, "the bundle was made before samples were recorded: export it again to compare")
    try:
        difference, agreement = compare_samples(model, settings.samples)
        before = settings.samples["difference"][variant]
        bound = settings.samples["tolerance"] + before
    except (InputError, KeyError) as error:
        return Finding("failed", name, f"the samples cannot be compared: {error}")
    said = f"relative difference to torch {difference:.1e}, at export {before:.1e}"
    lost = "" if variant in _EXACT else _lost_order(settings.samples, variant, agreement)
    if lost:
        return Finding("failed", name, f"{said}, {lost}: this machine computes something else")
    if difference <= bound:
        return Finding("ok", name, said)
    if variant not in _EXACT:
        bound = max(_ROUNDING_FACTOR * before, _ROUNDING)
        if difference <= bound:
            return Finding("note", name, f"{said}: the {variant} kernels of this CPU round otherwise")
    return Finding("failed", name, f"{said}, bound {bound:.1e}: this machine computes something else")


def _lost_order(samples: Mapping[str, Any], variant: Variant, agreement: float) -> str:
    """What is wrong with the order of the samples; nothing where it never was, or was not recorded to be, right."""
    bound, before = samples.get("rank_agreement", -1.0), samples.get("agreement", {}).get(variant, -1.0)
    if not before >= bound - TAU_ROUNDING > agreement:
        return ""
    return f"mean Kendall tau of the orders {agreement:.2f}, at export {before:.2f}, bound {bound:g}"
