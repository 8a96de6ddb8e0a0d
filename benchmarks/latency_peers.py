"""Other libraries on the same weights: sentence-transformers, FlashRank, rerankers, fastembed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from benchmarks.latency import FLASHRANK_NAME, GRAPHS
from benchmarks.latency_elsewhere import Elsewhere

Scores: TypeAlias = Callable[[str, list[str]], np.ndarray]
Peer: TypeAlias = tuple[str, bool, Callable[[], Scores]]

SENTENCE_TRANSFORMERS = "sentence-transformers torch"
SENTENCE_TRANSFORMERS_ONNX = "sentence-transformers ONNX fp32"
FLASHRANK = "FlashRank"
RERANKERS = "rerankers"
FASTEMBED = "fastembed ONNX fp32"


def peers(folder: Path, threads: int, *, optimum: str | None) -> Iterator[Peer]:
    """Name, exactness and loader of each that is installed."""
    bundle = folder / "bundle"
    if _there("sentence_transformers", SENTENCE_TRANSFORMERS):
        yield SENTENCE_TRANSFORMERS, True, lambda: sentence_transformers(folder / "model", backend="torch")
        # As of its 0.1, optimum-onnx wants a transformers below 4.58, and what it is compared with wants 5.
        if optimum is not None:
            yield SENTENCE_TRANSFORMERS_ONNX, True, lambda: Elsewhere(optimum, bundle, GRAPHS["fp32"], threads)
        elif _there("optimum.onnxruntime", SENTENCE_TRANSFORMERS_ONNX, install="optimum-onnx"):
            yield SENTENCE_TRANSFORMERS_ONNX, True, lambda: sentence_transformers(bundle, backend="onnx")
    if _there("flashrank", FLASHRANK):
        for variant in GRAPHS:
            yield (
                f"{FLASHRANK} {variant}",
                variant == "fp32",
                lambda variant=variant: flashrank(folder / f"flashrank_{variant}"),
            )
    if _there("rerankers", RERANKERS):
        yield f"{RERANKERS} torch", True, lambda: rerankers(folder / "model")
    if _there("fastembed", FASTEMBED):
        yield FASTEMBED, True, lambda: fastembed(bundle, threads)


def sentence_transformers(folder: Path, *, backend: Any) -> Scores:
    """Their cross-encoder, without the sigmoid that it would add."""
    import torch
    from sentence_transformers import CrossEncoder

    options: dict[str, Any] = {"model_kwargs": {"file_name": GRAPHS["fp32"]}} if backend == "onnx" else {}
    model = CrossEncoder(str(folder), device="cpu", backend=backend, **options)
    identity = torch.nn.Identity()
    return lambda query, documents: np.asarray(
        model.predict([(query, text) for text in documents], activation_fn=identity)
    )


def flashrank(cache: Path) -> Scores:
    """Its probabilities, turned back into logits and into the order of the documents."""
    from flashrank import Ranker, RerankRequest  # pyright: ignore[reportMissingImports]

    model = Ranker(model_name=FLASHRANK_NAME, cache_dir=str(cache), log_level="WARNING")

    def scores(query: str, documents: list[str]) -> np.ndarray:
        passages = [{"id": place, "text": text} for place, text in enumerate(documents)]
        found = model.rerank(RerankRequest(query=query, passages=passages))
        probabilities = np.empty(len(documents))
        for each in found:
            probabilities[each["id"]] = each["score"]
        return np.log(probabilities / (1 - probabilities))

    return scores


def rerankers(folder: Path) -> Scores:
    """Its transformers backend."""
    import torch
    from rerankers import Reranker  # pyright: ignore[reportMissingImports]

    options = {"device": "cpu", "dtype": torch.float32}
    model: Any = Reranker(str(folder), model_type="cross-encoder", verbose=0, **options)

    def scores(query: str, documents: list[str]) -> np.ndarray:
        found = model.rank(query, documents, doc_ids=list(range(len(documents))))
        values = np.empty(len(documents))
        for each in found.results:
            values[each.document.doc_id] = each.score
        return values

    return scores


def fastembed(bundle: Path, threads: int) -> Scores:
    """Its cross-encoder, with the bundle as a custom model."""
    from fastembed.common.model_description import ModelSource  # pyright: ignore[reportMissingImports]
    from fastembed.rerank.cross_encoder import TextCrossEncoder  # pyright: ignore[reportMissingImports]

    name = "rankgrad/bundle"
    if name not in {model["model"] for model in TextCrossEncoder.list_supported_models()}:
        TextCrossEncoder.add_custom_model(name, sources=ModelSource(hf=name), model_file=GRAPHS["fp32"])
    model = TextCrossEncoder(name, threads=threads, specific_model_path=str(bundle))
    return lambda query, documents: np.array(list(model.rerank(query, documents)))


def _there(module: str, name: str, *, install: str = "rankgrad[bench]") -> bool:
    package = module.split(".")[0]
    if find_spec(package) is not None and find_spec(module) is not None:
        return True
    print(f'skipped: {name} ({module} is not installed: pip install "{install}")', flush=True)
    return False
