"""Training and scoring with PyLate; it asks for another sentence-transformers than the peer beside it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from pylate import losses, models, rank, utils  # pyright: ignore[reportMissingImports]
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from transformers import set_seed

from benchmarks.quality_data import Asked, Material
from benchmarks.quality_pace import Pace
from benchmarks.quality_recipes import DIM, DOCUMENT_LENGTH, QUERY_LENGTH, Recipe
from benchmarks.quality_trainer import fit, trainer_options
from rankgrad.cli._demo_training import fast_bfloat16
from rankgrad.models._folder import quiet, resolve

_LENGTHS = {"query_length": QUERY_LENGTH, "document_length": DOCUMENT_LENGTH, "embedding_size": DIM}


def train(recipe: Recipe, material: Material, source: str, pace: Pace, *, seed: int, folder: Path) -> int:
    """Train a model, save it, and give the number of steps."""
    set_seed(seed)
    with tempfile.TemporaryDirectory() as scratch, quiet():
        model = models.ColBERT(str(_bare(resolve(source), Path(scratch) / "encoder")), device="cpu", **_LENGTHS)
        steps = fit(
            SentenceTransformerTrainer,
            recipe,
            material,
            pace,
            seed=seed,
            model=model,
            args=SentenceTransformerTrainingArguments(**trainer_options(scratch, recipe, seed)),
            loss=losses.Contrastive(model),
            data_collator=utils.ColBERTCollator(model.tokenize),
        )
        model.eval()
        model.save_pretrained(str(folder))
    return steps


def score(folder: Path, recipe: Recipe, asked: Asked) -> list[list[float]]:
    """A saved model's score of each list's documents."""
    distinct = asked.distinct
    options: dict[str, Any] = {"batch_size": 32, "show_progress_bar": False, "convert_to_numpy": False}
    with torch.inference_mode(), quiet():
        model = models.ColBERT(str(folder), device="cpu")
        with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16()):
            documents = [each.float() for each in model.encode(distinct, is_query=False, **options)]
            queries = [each.float() for each in model.encode(asked.queries, is_query=True, **options)]
        by_text = dict(zip(distinct, documents, strict=True))
        return [
            _scores(query, [by_text[text] for text in texts]) if texts else []
            for query, texts in zip(queries, asked.documents, strict=True)
        ]


def _scores(query: torch.Tensor, documents: list[torch.Tensor]) -> list[float]:
    ids = list(range(len(documents)))
    found = rank.rerank(documents_ids=[ids], queries_embeddings=[query], documents_embeddings=[documents])[0]
    by_id = {each["id"]: float(each["score"]) for each in found}
    return [by_id[place] for place in ids]


def _bare(source: str, folder: Path) -> Path:
    """The encoder without the pooling that makes a sentence model of it, which PyLate would take for its own layers."""
    pooling = shutil.ignore_patterns("modules.json", "*sentence*", "*_Pooling", "*_Normalize", "README.md")
    return Path(shutil.copytree(source, folder, ignore=pooling))
