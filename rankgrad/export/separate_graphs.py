"""A ColBERT as three graphs: queries to embeddings, documents to embeddings, embeddings to scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad._checks import require
from rankgrad.deploy.colbert_reranker import QueriesAndDocuments
from rankgrad.export.files import longest
from rankgrad.export.graph_files import graph_entry
from rankgrad.export.late_encoders import DocumentEncoder, MaxSimScorer, QueryEncoder
from rankgrad.export.module import MakeInputs, export_module
from rankgrad.export.parity import relative_difference, require_agreement
from rankgrad.export.probe import Shape, random_tokens
from rankgrad.export.reference import eager_attention
from rankgrad.export.reranker_bundle import DOCUMENTS, QUERIES, RerankerSubject
from rankgrad.export.trace import Axes
from rankgrad.models import ColBERT
from rankgrad.tokens import Tokens

FILES = {
    "query_encoder": "onnx/query_encoder.onnx",
    "document_encoder": "onnx/document_encoder.onnx",
    "maxsim": "onnx/maxsim.onnx",
}
"""Where each is in a bundle."""

_INPUTS = ("input_ids", "attention_mask")


class _Part(NamedTuple):
    graph: nn.Module
    example: dict[str, Tensor]
    axes: dict[str, Axes]
    make: MakeInputs
    smallest: dict[str, int]


def write_separate_graphs(model: ColBERT, folder: Path, *, tolerance: float) -> dict[str, dict[str, Any]]:
    """Write the graphs of both encoders and of MaxSim beside the others of a bundle.

    ``query_encoder`` and ``document_encoder`` take ``input_ids`` and ``attention_mask`` as the tokenizer gives them,
    and give ``query_embeddings [queries, query_tokens, dim]`` with ``query_scored [queries, query_tokens]``, bool, and
    the same of documents; embeddings that are not scored are 0. ``maxsim`` takes these four and gives ``scores
    [queries, documents]``. Each is compared with its module on six shapes, and the three in a row with the model's own
    encodings and scores.

    Args:
        model: it is left as it was.
        folder: the bundle.
        tolerance: largest difference allowed, relative to the largest output (but at least 1).

    Returns:
        what ``rankgrad.json`` says of each: file, size and SHA-256, inputs and outputs, and of the last one the largest
        difference of the three in a row.

    Raises:
        ParityError: when a graph, or the three in a row, disagree with torch.
        MissingExtraError: without onnx, onnxscript or onnxruntime.
    """
    subject = RerankerSubject(model)
    written: dict[str, dict[str, Any]] = {}
    with eager_attention(subject.model):
        for name, part in _parts(subject).items():
            options = {"axes": part.axes, "make_inputs": part.make, "smallest": part.smallest}
            export_module(part.graph, part.example, folder / FILES[name], tolerance=tolerance, **options)
            outputs = [each for each in part.axes if each not in part.example]
            written[name] = {**graph_entry(folder, FILES[name]), "inputs": list(part.example), "outputs": outputs}
    written["maxsim"]["difference"] = _difference_in_a_row(subject, folder, tolerance=tolerance)
    return written


class GraphsInARow:
    """The three graphs of a bundle, and nothing else of it: padded tokens -> scores ``[queries, documents]``."""

    def __init__(self, folder: Path) -> None:
        open_graph = require("onnxruntime", "onnx").InferenceSession
        self._sessions = {
            name: open_graph(str(folder / file), providers=["CPUExecutionProvider"]) for name, file in FILES.items()
        }

    def __call__(self, rows: QueriesAndDocuments) -> np.ndarray:
        queries = self._run("query_encoder", dict(zip(_INPUTS, rows[:2], strict=True)))
        documents = self._run("document_encoder", dict(zip(_INPUTS, rows[2:], strict=True)))
        return self._run("maxsim", queries | documents)["scores"]

    def _run(self, name: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        session = self._sessions[name]
        names = [each.name for each in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def _parts(subject: RerankerSubject) -> dict[str, _Part]:
    model, dim = subject.model, subject.model.dim
    tokens = list(subject.example().values())
    encoders = QueryEncoder(model), DocumentEncoder(model)
    parts: dict[str, _Part] = {}
    embedded: dict[str, Axes] = {}
    for place, (side, axes) in enumerate((("query", QUERIES), ("document", DOCUMENTS))):
        width = encoders[0].expanded if side == "query" else 0
        inputs: dict[str, Axes] = dict.fromkeys(_INPUTS, axes)
        outputs: dict[str, Axes] = {f"{side}_embeddings": (*axes, dim), f"{side}_scored": axes}
        parts[f"{side}_encoder"] = _Part(
            encoders[place],
            dict(zip(_INPUTS, tokens[2 * place : 2 * place + 2], strict=True)),
            inputs | outputs,
            _token_maker(model, *axes, width=width),
            {axes[1]: max(width, 3)},
        )
        embedded |= outputs
    make = _embedding_maker(dim)
    example = dict(make({"queries": 3, "query_tokens": 5, "documents": 4, "document_tokens": 7}, torch.Generator()))
    parts["maxsim"] = _Part(MaxSimScorer(), example, embedded | {"scores": ("queries", "documents")}, make, {})
    return parts


def _token_maker(model: ColBERT, rows: str, columns: str, *, width: int) -> MakeInputs:
    """Random tokens, no row longer than the model reads, some of them padded, the last one all of a skipped token."""

    def make(sizes: Mapping[str, int], generator: torch.Generator) -> dict[str, Tensor]:
        tokens = max(width, min(sizes[columns], longest(model)))
        padding, seed = (int(torch.randint(limit, (), generator=generator)) for limit in (tokens, 2**31))
        found: Tokens = random_tokens(model.tokenizer, Shape(sizes[rows], tokens, padding), seed=seed)
        if len(model.tokenizer.skip_ids) and sizes[rows] > 1:
            found.input_ids[-1] = model.tokenizer.skip_ids[0]
        return {name: torch.from_numpy(getattr(found, name)) for name in _INPUTS}

    return make


def _embedding_maker(dim: int) -> MakeInputs:
    """Random unit vectors as the encoders give them: zero where not scored; the last document has none that is."""

    def make(sizes: Mapping[str, int], generator: torch.Generator) -> dict[str, Tensor]:
        made: dict[str, Tensor] = {}
        for side, (rows, columns) in (("query", QUERIES), ("document", DOCUMENTS)):
            shape = (sizes[rows], sizes[columns])
            scored = torch.rand(shape, generator=generator) < 0.7
            scored[:, 0] = True
            if side == "document" and sizes[rows] > 1:
                scored[-1] = False
            vectors = torch.nn.functional.normalize(torch.randn(*shape, dim, generator=generator), dim=-1)
            made[f"{side}_embeddings"] = vectors.masked_fill(~scored.unsqueeze(-1), 0.0)
            made[f"{side}_scored"] = scored
        return made

    return make


def _difference_in_a_row(subject: RerankerSubject, folder: Path, *, tolerance: float) -> float:
    largest, in_a_row = 0.0, GraphsInARow(folder)
    for shape, rows in subject.probes():
        difference = relative_difference(subject.expected(rows), in_a_row(rows))
        where = f"{rows.query_input_ids.shape} queries and documents of {shape}:"
        require_agreement(difference, tolerance, f"the three graphs in a row disagree with torch at {where}")
        largest = max(largest, difference)
    return largest
