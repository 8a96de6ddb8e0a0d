"""Who reranks: each provider turns a query and documents into a call that gives their scores."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from rankgrad import deploy
from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.models._folder import quiet

Call = Callable[[], np.ndarray]


class Provider(NamedTuple):
    """Its name; whether its arithmetic is float32; and ``prepare(query, documents)``, which gives what is timed.

    The first provider of a setting is the reference.
    """

    name: str
    exact: bool
    prepare: Callable[[str, list[str]], Call]


class Setup(NamedTuple):
    """Where the models are and how they are run."""

    folder: Path
    threads: int
    device: str
    quick: bool


def cross_encoders(setup: Setup) -> Iterator[Provider]:
    """Query and documents as texts in, scores out."""
    model = CrossEncoder.from_pretrained(setup.folder / "cross_encoder").to(setup.device)
    yield Provider("rankgrad torch", True, lambda query, documents: _pairs(model, query, documents))
    compiled = _compiled(model, setup)
    if compiled is not None:
        yield Provider("rankgrad torch.compile", True, lambda query, documents: _pairs(compiled, query, documents))
    for name, exact, bundle in _bundles(setup, "cross_encoder"):
        yield Provider(name, exact, lambda query, documents, bundle=bundle: _pairs(bundle, query, documents))
    peer = _peer("CrossEncoder", setup.folder / "cross_encoder", setup)
    if peer is not None:
        identity = torch.nn.Identity()
        yield Provider(
            "sentence-transformers CrossEncoder",
            True,
            lambda query, documents: (
                lambda: peer.predict([(query, text) for text in documents], activation_fn=identity)
            ),
        )


def late_interaction(setup: Setup, *, encoded: bool) -> Iterator[Provider]:
    """The query as text in, scores out; the documents as token embeddings made beforehand, or as texts."""
    model = ColBERT.from_pretrained(setup.folder / "colbert").to(setup.device)
    providers: list[tuple[str, bool, Any, Any]] = [("rankgrad torch", True, model, _torch_scores)]
    providers += [(*each, _deploy_scores) for each in _bundles(setup, "colbert")]
    peer = _peer("MultiVectorEncoder", setup.folder / "colbert", setup)
    if peer is not None:
        providers.append(("sentence-transformers MultiVectorEncoder", True, _Peer(peer), _peer_scores))
    for name, exact, encoder, scores in providers:

        def prepare(query: str, documents: list[str], encoder: Any = encoder, scores: Any = scores) -> Call:
            if not encoded:
                return lambda: scores(encoder, query, _documents(encoder, documents))
            ready = _documents(encoder, documents)
            return lambda: scores(encoder, query, ready)

        yield Provider(name, exact, prepare)


class _Peer:
    """sentence-transformers' encoder; its documents padded once, as ``similarity`` would do at every call."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def encode_documents(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.model.encode_document(texts)
        mask = torch.nn.utils.rnn.pad_sequence([row.new_ones(len(row)) for row in found], batch_first=True)
        return torch.nn.utils.rnn.pad_sequence(found, batch_first=True), mask.bool()


@torch.inference_mode()
def _documents(encoder: Any, texts: list[str]) -> Any:
    return encoder.encode_documents(texts)


@torch.inference_mode()
def _torch_scores(model: ColBERT, query: str, documents: Any) -> np.ndarray:
    return model.score([query], documents)[0].cpu().numpy()


def _deploy_scores(model: deploy.ColBERT, query: str, documents: Any) -> np.ndarray:
    return model.score([query], documents)[0]


def _peer_scores(peer: _Peer, query: str, documents: Any) -> np.ndarray:
    embeddings, mask = documents
    return peer.model.similarity(peer.model.encode_query([query]), embeddings, b_mask=mask)[0].cpu().numpy()


def _pairs(model: Any, query: str, documents: list[str]) -> Call:
    def scores() -> np.ndarray:
        with torch.inference_mode():
            found = model.score([query] * len(documents), documents)
        return found.cpu().numpy() if isinstance(found, torch.Tensor) else found

    return scores


def _compiled(model: CrossEncoder, setup: Setup) -> CrossEncoder | None:
    needs = find_spec("triton") if setup.device != "cpu" else shutil.which("c++") or shutil.which("g++")
    if setup.quick or not needs:
        why = "--quick" if setup.quick else "no compiler (triton on cuda, c++ on cpu)"
        print(f"skipped: rankgrad torch.compile ({why})")
        return None
    compiled = copy.deepcopy(model)
    compiled.backbone.compile(dynamic=True)
    return compiled


def _bundles(setup: Setup, kind: str) -> list[tuple[str, bool, Any]]:
    if setup.device != "cpu":
        print("skipped: rankgrad ONNX (a bundle runs on the CPU)")
        return []
    folder = setup.folder / f"{kind}_bundle"
    return [
        ("rankgrad ONNX fp32", True, deploy.load(folder, variant="fp32", threads=setup.threads)),
        ("rankgrad ONNX int8", False, deploy.load(folder, variant="int8", threads=setup.threads)),
    ]


def _peer(name: str, folder: Path, setup: Setup) -> Any:
    if find_spec("sentence_transformers") is None:
        print(f'skipped: sentence-transformers {name} (not installed: pip install "rankgrad[bench]")')
        return None
    import sentence_transformers

    classes = {
        "CrossEncoder": sentence_transformers.CrossEncoder,
        "MultiVectorEncoder": sentence_transformers.MultiVectorEncoder,
    }
    with quiet():
        return classes[name](str(folder), device=setup.device)
