"""A folder that runs without torch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from rankgrad import __version__, deploy
from rankgrad._checks import InputError, check_texts
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad.data import FeatureTable
from rankgrad.data.records import CandidateList
from rankgrad.deploy.bundle import FORMAT_VERSION, MARKER
from rankgrad.export.card import card
from rankgrad.export.feature_bundle import write_feature_bundle
from rankgrad.export.feature_probe import FeatureModel
from rankgrad.export.files import longest, tokenizer_settings, write_config, write_tokenizer
from rankgrad.export.graph_files import graph_entry
from rankgrad.export.measured import compare_variants, latency_of_variants, open_variants, quality_of_variants
from rankgrad.export.onnx import export_onnx
from rankgrad.export.parity import Lists, check_shapes
from rankgrad.export.probe import probe_lists
from rankgrad.export.provenance import provenance
from rankgrad.export.quality import check_judged
from rankgrad.export.reference import Ranker, TextRanker
from rankgrad.export.samples import other_files, text_samples
from rankgrad.export.separate_graphs import write_separate_graphs
from rankgrad.export.subject import Subject, ranker_of
from rankgrad.export.subjects import subject_of
from rankgrad.export.variants import FILES, chosen_variants, write_variant
from rankgrad.models import CausalReranker, ColBERT, CrossEncoder, DenseEncoder, FeatureRanker, SparseEncoder
from rankgrad.models._folder import write_json
from rankgrad.pipeline import FeatureCascade
from rankgrad.types import Variant

TEXT_MODELS = (CrossEncoder, ColBERT, DenseEncoder, SparseEncoder, CausalReranker)
DEFAULT_VARIANTS: tuple[Variant, ...] = ("int8",)
_LOGGER = logging.getLogger(__name__)


def export_bundle(
    model: TextRanker | FeatureModel,
    folder: str | Path,
    *,
    variants: Sequence[Variant] | None = None,
    calibration_texts: Lists | None = None,
    quality: Sequence[CandidateList] | FeatureTable | None = None,
    ndcg_tolerance: float = 0.5,
    feature_names: Sequence[str] | None = None,
    exit_layer: int | None = None,
    one_graph: bool = False,
    separate_graphs: bool = False,
    tolerance: float = 1e-5,
    rank_agreement: float = 0.8,
    overwrite: bool = False,
    progress: Callable[[str], None] = _LOGGER.info,
) -> dict[str, Any]:
    """Write a model as a bundle: ONNX graphs, tokenizer, configuration, a card with what was measured of the graphs.

    A feature ranker's bundle has no tokenizer and one graph, in fp32, with the fitted transform inside; that of a
    cascade of feature rankers has all stages and cut-offs in its graph.

    If a graph disagrees with torch, or anything else fails, nothing is written, and what was at ``folder`` stays.

    Args:
        model: a :class:`rankgrad.models.CrossEncoder`, :class:`rankgrad.models.ColBERT`,
            :class:`rankgrad.models.DenseEncoder`, :class:`rankgrad.models.SparseEncoder`,
            :class:`rankgrad.models.CausalReranker`, :class:`rankgrad.models.FeatureRanker` or
            :class:`rankgrad.pipeline.FeatureCascade`; it is left as it was.
        folder: a new or empty folder, or an older bundle, which is replaced.
        variants: graphs to write beside the fp32 one: ``"int8"`` (scales of activations found at run time),
            ``"int8-static"`` (taken from ``calibration_texts``), ``"fp16"`` (for GPUs), ``"optimized"`` (fused
            operators of ONNX Runtime), ``"int4"`` (4-bit weights, for large models). None is ``("int8",)``, ``()`` fp32
            alone; a feature ranker is too small to gain by any.
        calibration_texts: queries, each with its documents, on which scores are compared and static ranges are taken;
            None takes a few built-in ones to compare. The closer they are to the texts in use, the better.
        quality: judged lists on which nDCG@10 of torch and of each graph is measured, other ones than
            ``calibration_texts``; None measures none. Of a feature ranker what :func:`rankgrad.data.read_letor` gives.
        ndcg_tolerance: points of nDCG@10 (hundredths) that a variant may lose; one that loses more is marked unfit on
            the card.
        feature_names: of a feature ranker's columns, in their order; None = they are not recorded.
        exit_layer: of a cross-encoder with ``exits``: score behind so many layers, and leave the later ones out.
        one_graph: of a ColBERT: write one graph that takes tokens of queries and of candidates and gives scores, for
            reranking without an index, instead of an encoder.
        separate_graphs: of a ColBERT: write three more graphs in fp32, the encoders of queries and of documents with
            masks, expansion, skipped tokens and weights inside, and MaxSim; see
            :func:`rankgrad.export.separate_graphs.write_separate_graphs`.
        tolerance: largest difference of the fp32 graph's output to torch's, relative to the largest output (but at
            least 1); the optimized graph's too. Scores of texts may differ by ten times as much.
        rank_agreement: lowest mean Kendall tau between the orders that a variant and torch give.
        overwrite: replace a folder that holds other files, too.
        progress: called with one line before each step; by default the line is logged.

    Returns:
        What ``rankgrad.json`` holds: kind, settings, files, parity, quality, latency.

    Raises:
        TypeError: for a model of another kind, or a bare string of variants.
        ParityError: when a graph disagrees with torch.
        InputError: for texts that cannot be compared, variants that cannot be made, names that do not fit, a transform
            that is not fitted, or a folder that may not be replaced.
        MissingExtraError: without onnx, onnxscript or onnxruntime.
    """
    if not isinstance(model, (*TEXT_MODELS, FeatureRanker, FeatureCascade)):
        known = ", ".join(f"a {each.__name__}" for each in TEXT_MODELS)
        raise TypeError(f"model: expected {known}, a FeatureCascade or a FeatureRanker, got {type(model).__name__}")
    folder = Path(folder)
    if not (overwrite and folder.is_dir()):
        check_replaceable(folder, MARKER)
    chosen = chosen_variants(DEFAULT_VARIANTS if variants is None else variants)
    if isinstance(model, FeatureRanker | FeatureCascade):
        name = type(model).__name__
        if calibration_texts is not None or not isinstance(quality, FeatureTable | None):
            raise InputError(
                f"calibration_texts, quality: a {name} reads no texts; leave them out, or pass rows that "
                "rankgrad.data.read_letor gives as quality"
            )
        if exit_layer is not None or one_graph or separate_graphs:
            raise InputError(
                f"exit_layer, one_graph, separate_graphs: a {name} has neither exits nor two encoders; leave them out"
            )
        if variants is not None and chosen:
            raise InputError(f"variants: a {name} has one graph, in fp32; leave out {', '.join(chosen)}")
        return write_feature_bundle(
            model,
            folder,
            feature_names=feature_names,
            tolerance=tolerance,
            quality=quality,
            ndcg_tolerance=ndcg_tolerance,
            progress=progress,
        )
    if feature_names is not None:
        raise InputError(f"feature_names: a {type(model).__name__} reads texts and has no features; leave them out")
    if separate_graphs and not isinstance(model, ColBERT):
        raise InputError(
            f"separate_graphs=True: a {type(model).__name__} has no MaxSim between two encoders; leave it out"
        )
    if "int8-static" in chosen and one_graph:
        raise InputError(
            "variants: int8-static takes its ranges from one text at a time, and one_graph reads queries and their "
            "candidates together; leave one of them out"
        )
    if "int8-static" in chosen and calibration_texts is None:
        raise InputError("calibration_texts: int8-static takes its ranges from texts like those in use; pass some")
    lists = _checked(probe_lists() if calibration_texts is None else calibration_texts)
    if isinstance(quality, FeatureTable):
        raise InputError(f"quality: a {type(model).__name__} reads texts, no rows of features: pass judged lists")
    if quality is not None:
        check_judged(quality)
    reference = subject_of(model, exit_layer=exit_layer, one_graph=one_graph)
    ranker = ranker_of(reference)
    with atomic_folder(folder) as temporary:
        (temporary / "onnx").mkdir()
        write_config(ranker, temporary)
        write_tokenizer(ranker, temporary)
        if not isinstance(reference, nn.Module):
            reference.write_files(temporary)
        progress("exporting the fp32 graph")
        declared = export_onnx(reference, temporary / FILES["fp32"])
        progress("comparing it with torch")
        shapes = check_shapes(reference, deploy.Graph(temporary / FILES["fp32"], threads=1), tolerance=tolerance)
        parity: dict[str, Any] = {
            "tolerance": tolerance,
            "rank_agreement": rank_agreement,
            "shapes": [each.shape._asdict() | {"difference": each.difference} for each in shapes],
            "lists": len(lists),
            "documents": sum(len(documents) for _, documents in lists),
        }
        content = {**_settings(reference), **declared._asdict(), "graphs": {}, "parity": parity}
        content["provenance"] = provenance(ranker)
        content["graphs"]["fp32"] = graph_entry(temporary, FILES["fp32"])
        if separate_graphs and isinstance(model, ColBERT):
            progress("exporting the encoders and MaxSim apart")
            content["separate_graphs"] = write_separate_graphs(model, temporary, tolerance=tolerance)
        for variant in chosen:
            progress(f"making the {variant} graph")
            made = write_variant(variant, reference, temporary, lists, tolerance=tolerance)
            content["graphs"][variant] = {**graph_entry(temporary, FILES[variant]), **made}
        write_json(temporary / MARKER, content)
        opened = open_variants(temporary, ("fp32", *chosen))
        progress("comparing scores, and timing each graph")
        found = compare_variants(reference, opened, lists, tolerance=tolerance, rank_agreement=rank_agreement)
        parity |= {variant: each._asdict() for variant, each in found.items()}
        if quality is not None:
            progress(f"measuring nDCG@10 on {len(quality)} judged lists")
            content["quality"] = quality_of_variants(reference, opened, quality, tolerance=ndcg_tolerance)
            for variant, measured in content["quality"]["variants"].items():
                content["graphs"][variant]["fit"] = measured["fit"]
        content["latency"] = latency_of_variants(opened, lists)
        content["samples"] = text_samples(
            reference, temporary, list(content["graphs"]), tolerance=tolerance, rank_agreement=rank_agreement
        )
        content["files"] = other_files(temporary, content["graphs"])
        (temporary / "README.md").write_text(card(content, folder.resolve().name), encoding="utf-8")
        write_json(temporary / MARKER, content)
    return content


def _settings(reference: Ranker | Subject) -> dict[str, Any]:
    """The head of ``rankgrad.json``: what the model is."""
    model = ranker_of(reference)
    if not isinstance(reference, nn.Module):
        kind, dim, own = reference.kind, reference.dim, reference.settings()
    elif isinstance(reference, CrossEncoder):
        kind, dim, own = "cross_encoder", 1, {}
    else:
        kind, dim, own = "colbert", reference.dim, {}
    return {
        "format_version": FORMAT_VERSION,
        "rankgrad_version": __version__,
        "kind": kind,
        "tokenizer": tokenizer_settings(model),
        "dim": dim,
        "longest": longest(model),
        **own,
    }


def _checked(lists: Lists) -> Lists:
    check_texts([query for query, _ in lists], "query of calibration_texts")
    for query, documents in lists:
        check_texts(documents, f"document of the query {query!r} in calibration_texts")
    return lists
