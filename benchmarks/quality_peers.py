"""Training and scoring with sentence-transformers: its models, losses, collators and trainers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss, LambdaLoss
from sentence_transformers.multi_vector_encoder.losses import MultiVectorMultipleNegativesRankingLoss
from sentence_transformers.multi_vector_encoder.trainer import MultiVectorEncoderTrainer
from sentence_transformers.multi_vector_encoder.training_args import MultiVectorEncoderTrainingArguments
from torch import Tensor
from transformers import set_seed

from benchmarks.quality_data import Asked, Material
from benchmarks.quality_pace import Pace
from benchmarks.quality_recipes import DOCUMENT_LENGTH, PAIR_LENGTH, QUERY_LENGTH, Recipe
from benchmarks.quality_trainer import fit, trainer_options
from rankgrad.cli._demo_training import fast_bfloat16
from rankgrad.models._folder import quiet, resolve


def train(recipe: Recipe, material: Material, source: str, pace: Pace, *, seed: int, folder: Path) -> int:
    """Train a model, save it, and give the number of steps."""
    set_seed(seed)
    with tempfile.TemporaryDirectory() as scratch, quiet():
        options = trainer_options(scratch, recipe, seed)
        if recipe.pair:
            model: Any = CrossEncoder(resolve(source), device="cpu", max_length=PAIR_LENGTH, num_labels=1)
            weight = torch.tensor(float(recipe.negatives))
            loss = LambdaLoss(model) if recipe.loss == "lambda" else BinaryCrossEntropyLoss(model, pos_weight=weight)
            trainer: Any = CrossEncoderTrainer
            arguments: Any = CrossEncoderTrainingArguments(**options)
        else:
            model = _multi_vector(resolve(source), projection=recipe.head != "none")
            loss = MultiVectorMultipleNegativesRankingLoss(model)
            trainer, arguments = MultiVectorEncoderTrainer, MultiVectorEncoderTrainingArguments(**options)
        steps = fit(trainer, recipe, material, pace, seed=seed, model=model, args=arguments, loss=loss)
        model.eval()
        model.save_pretrained(str(folder))
    return steps


def score(folder: Path, recipe: Recipe, asked: Asked) -> list[list[float]]:
    """A saved model's score of each list's documents."""
    with torch.inference_mode(), quiet():
        if recipe.pair:
            return _pair_scores(CrossEncoder(str(folder), device="cpu", max_length=PAIR_LENGTH), asked)
        model = MultiVectorEncoder(str(folder), device="cpu")
        distinct = asked.distinct
        with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16()):
            documents = [each.float() for each in model.encode_document(distinct, batch_size=32)]
            queries = [each.float() for each in model.encode_query(asked.queries, batch_size=32)]
        by_text = dict(zip(distinct, documents, strict=True))
        return [
            model.similarity([query], [by_text[text] for text in texts])[0].tolist() if texts else []
            for query, texts in zip(queries, asked.documents, strict=True)
        ]


def _multi_vector(source: str, *, projection: bool) -> Any:
    model = MultiVectorEncoder(source, device="cpu")
    if not projection:
        kept = [module for module in model if type(module).__name__ != "Dense"]
        model = MultiVectorEncoder(modules=kept, device="cpu")
    encoder: Any = model[0]
    encoder.query_length, encoder.document_length = QUERY_LENGTH, DOCUMENT_LENGTH
    return model


def _pair_scores(model: CrossEncoder, asked: Asked) -> list[list[float]]:
    pairs = [(query, text) for query, texts in zip(*asked, strict=True) for text in texts]
    options: dict[str, Any] = {"batch_size": 32, "activation_fn": torch.nn.Identity(), "convert_to_tensor": True}
    with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16()):
        scores: Tensor = model.predict(pairs, **options)  # type: ignore[assignment]
    return [part.tolist() for part in scores.float().split([len(texts) for texts in asked.documents])]
