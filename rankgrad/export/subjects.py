"""Which part of a model a bundle holds."""

from __future__ import annotations

from rankgrad._checks import InputError
from rankgrad.export.causal_bundle import CausalSubject
from rankgrad.export.dense_bundle import DenseSubject
from rankgrad.export.exit_bundle import ExitSubject
from rankgrad.export.pair_bundle import PairSubject
from rankgrad.export.reference import Ranker, TextRanker, exportable
from rankgrad.export.reranker_bundle import RerankerSubject
from rankgrad.export.sparse_bundle import SparseSubject
from rankgrad.export.subject import Subject
from rankgrad.export.weighed_bundle import WeighedSubject
from rankgrad.models import CausalReranker, ColBERT, CrossEncoder, DenseEncoder


def subject_of(model: TextRanker, *, exit_layer: int | None = None, one_graph: bool = False) -> Ranker | Subject:
    """What is exported of a model: a copy of it, or its :class:`rankgrad.export.subject.Subject`.

    Args:
        model: of texts.
        exit_layer: of a cross-encoder: score behind so many layers.
        one_graph: of a ColBERT: queries and documents in, scores out.

    Raises:
        InputError: for an option of another kind of model, or a model that has no such graph.
    """
    if exit_layer is not None and not isinstance(model, CrossEncoder):
        raise InputError(f"exit_layer={exit_layer}: a {type(model).__name__} has no exits; leave it out")
    if one_graph and not isinstance(model, ColBERT):
        raise InputError(f"one_graph=True: a {type(model).__name__} is one graph anyway; leave it out")
    if isinstance(model, CrossEncoder):
        if model.options.packed_only:
            return PairSubject(model, exit_layer)
        return exportable(model) if exit_layer is None else ExitSubject(model, exit_layer)
    if isinstance(model, ColBERT):
        if one_graph:
            return RerankerSubject(model)
        if model.pruner is not None:
            raise InputError(
                "model: its graph would keep all tokens, and this model prunes some; set model.pruner = None first, or "
                "pass one_graph=True, whose graph prunes"
            )
        return exportable(model) if model.query_weights is None else WeighedSubject(model)
    if isinstance(model, DenseEncoder):
        return DenseSubject(model)
    return CausalSubject(model) if isinstance(model, CausalReranker) else SparseSubject(model)
