from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from rankgrad._checks import InputError
from rankgrad.data import CandidateList
from rankgrad.data.collate import ListBatch, ListCollate
from rankgrad.losses import EarlyExitLoss, KLDistillLoss, OrdinalLoss, SoftmaxLoss, kl_distill_loss, softmax_loss
from rankgrad.metrics import NDCG, AveragePrecision, ReciprocalRank, ndcg, reciprocal_rank
from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.training import MatryoshkaLoss, Ranker, RunFolder, read_curves
from rankgrad.training.checkpoints import checkpoints_in
from rankgrad.training.optim import learning_rate_factor


class Exploding(nn.Module):
    """A loss that is not finite from the third call on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, scores, labels, mask):
        self.calls += 1
        return scores.sum() * (float("nan") if self.calls > 2 else 0.0)


class Given(nn.Module):
    """A model whose scores are its features."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, features):
        return features * self.scale


@pytest.fixture
def batch() -> ListBatch:
    scores, labels = torch.randn(3, 5), torch.randint(0, 3, (3, 5)).float()
    mask = torch.arange(5) < torch.tensor([[5], [3], [4]])
    return ListBatch(scores, labels * mask, mask, torch.randn(3, 5), torch.tensor([[2.0, 1.0], [1.0, 0.0], [2.0, 2.0]]))


@pytest.mark.parametrize(
    ("target", "loss", "expected"),
    [
        ("labels", SoftmaxLoss(), lambda batch: softmax_loss(batch.features, batch.labels, batch.mask)),
        (
            "teacher_scores",
            KLDistillLoss(),
            lambda batch: kl_distill_loss(batch.features, batch.teacher_scores, batch.mask),
        ),
    ],
)
def test_the_loss_sees_scores_target_and_mask(batch: ListBatch, monkeypatch, target, loss, expected) -> None:
    ranker = Ranker(Given(), loss, target=target)
    monkeypatch.setattr(Ranker, "log", lambda *args, **options: None)
    ranker.trainer = type("Trainer", (), {"optimizers": [torch.optim.SGD(ranker.parameters(), lr=1.0)]})()
    assert torch.equal(ranker.training_step(batch, 0), expected(batch))


def test_validation_is_the_mean_over_queries_of_all_batches(batch: ListBatch, monkeypatch) -> None:
    ranker = Ranker(Given(), SoftmaxLoss(), metrics=[NDCG(k=2), ReciprocalRank(k=3)])
    logged = {}
    monkeypatch.setattr(ranker, "log", lambda name, value, **options: logged.update({name: value}))
    one = ListBatch(*(field[:1] for field in batch))
    for _ in range(2):
        logged.clear()
        ranker.validation_step(batch, 0)
        ranker.validation_step(one, 1)
        ranker.on_validation_epoch_end()
        scores, labels, mask, judged = batch.features, batch.labels, batch.mask, batch.judged
        four = [0, 1, 2, 0]
        expected = {
            "val/nDCG@2": ndcg(scores, labels, mask, k=2, judged=judged)[four].mean(),
            "val/MRR@3": reciprocal_rank(scores, labels, mask, k=3)[four].mean(),
        }
        assert logged.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(logged[name], value)


def test_teacher_scores_that_are_not_there(train, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"target=teacher_scores, but the training lists have none"):
        train(RunFolder(tmp_path, tensorboard=False), ranker={"target": "teacher_scores"})


def test_teacher_scores_that_in_batch_negatives_leave_out(new_colbert, lists) -> None:
    lists.taught = True
    model = new_colbert()
    batch = ListCollate(model.tokenizer, in_batch_negatives=True)(lists.lists("train")[:2])
    ranker = Ranker(model, KLDistillLoss(), target="teacher_scores")
    with pytest.raises(InputError, match="target=teacher_scores with in_batch_negatives=True: no teacher saw"):
        ranker.training_step(batch, 0)


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "warmup", "head_learning_rate"])
def test_rates_below_0(name: str) -> None:
    with pytest.raises(InputError, match=f"^{name}=-1: expected a finite number of at least 0"):
        Ranker(Given(), SoftmaxLoss(), **{name: -1})


def test_two_metrics_of_one_name() -> None:
    with pytest.raises(InputError, match=r"^metrics: nDCG@10 is the name of two, .*: leave one of them out$"):
        Ranker(Given(), SoftmaxLoss(), metrics=[NDCG(k=10, gain="linear"), NDCG(k=5), NDCG(k=10, gain="exp2")])


class Inside(nn.Module):
    """A loss that Ranker does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = SoftmaxLoss()

    def forward(self, scores, labels, mask):
        return self.loss(scores, labels, mask)


def test_scores_of_several_exits_or_widths_need_a_loss_for_them(tiny_encoder_folder: Path, lists) -> None:
    exits = CrossEncoder.from_pretrained(tiny_encoder_folder, exits=(1,))
    with pytest.raises(InputError, match=r"^exits: .* SoftmaxLoss cannot read; wrap it in .*EarlyExitLoss$"):
        Ranker(exits, SoftmaxLoss())
    widths = ColBERT.from_pretrained(tiny_encoder_folder, dim=16, matryoshka_dims=(16, 8))
    with pytest.raises(InputError, match=r"^matryoshka_dims: .* SoftmaxLoss cannot read; wrap it in .*MatryoshkaLoss$"):
        Ranker(widths, SoftmaxLoss())
    Ranker(exits, EarlyExitLoss(SoftmaxLoss()))
    Ranker(widths, MatryoshkaLoss(SoftmaxLoss()))
    for model in (exits, widths):
        batch = ListCollate(model.tokenizer)(lists.lists("train")[:2])
        ranker = Ranker(model.train(), Inside())
        with pytest.raises(InputError, match=r"the model gives 2 tables of scores .*, which Inside cannot read; wrap"):
            ranker.training_step(batch, 0)


def test_an_unknown_target() -> None:
    with pytest.raises(InputError, match="target='scores': choose labels or teacher_scores"):
        Ranker(Given(), SoftmaxLoss(), target="scores")


def test_a_loss_that_explodes_says_where_and_what_to_try(train, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(SoftmaxLoss, "forward", Exploding().forward)
    message = r"the loss is nan at step 2: lower learning_rate \(now 0.001\), or use trainer.precision=32-true"
    with pytest.raises(InputError, match=message):
        train(RunFolder(tmp_path, tensorboard=False), precision="bf16-mixed")


def test_a_run_without_end_has_no_schedule(train, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"set trainer\.max_epochs or trainer\.max_steps"):
        train(RunFolder(tmp_path, tensorboard=False), max_epochs=-1)


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_the_learning_rate_of_each_step(train, tmp_path: Path, decay: str) -> None:
    run = RunFolder(tmp_path, tensorboard=False)
    train(run, limit_val_batches=0, ranker={"learning_rate": 2e-3, "warmup": 0.25, "decay": decay})
    rates = [float(row["train/learning_rate"]) for row in read_curves(run.curves)]
    expected = [2e-3 * learning_rate_factor(step, total=12, warmup=0.25, decay=decay) for step in range(12)]
    assert rates == pytest.approx(expected)
    assert rates[2] == max(rates) == pytest.approx(2e-3)


def test_it_learns(train, tmp_path: Path) -> None:
    run = RunFolder(tmp_path, tensorboard=False)
    train(run, max_epochs=8, ranker={"learning_rate": 3e-3, "metrics": [NDCG(k=10), AveragePrecision()]})
    losses = [float(row["train/loss"]) for row in read_curves(run.curves) if "train/loss" in row]
    assert sum(losses[-6:]) < 0.5 * sum(losses[:6])


def test_dropout_is_on_in_training_and_off_in_validation(train, tmp_path: Path, monkeypatch) -> None:
    modes = {"training_step": set(), "validation_step": set()}
    for name, seen in modes.items():
        step = getattr(Ranker, name)

        def spy(self, batch, batch_idx, step=step, seen=seen):
            seen.update(module.training for module in self.model.modules())
            return step(self, batch, batch_idx)

        monkeypatch.setattr(Ranker, name, spy)
    train(RunFolder(tmp_path, tensorboard=False), max_epochs=1)
    assert modes == {"training_step": {True}, "validation_step": {False}}


def test_a_checkpoint_of_another_model_is_refused(train, tmp_path: Path) -> None:
    run = RunFolder(tmp_path, tensorboard=False)
    train(run, max_epochs=1)
    path = checkpoints_in(run.checkpoints)[0]
    checkpoint = torch.load(path)
    name, weight = next((name, weight) for name, weight in checkpoint["state_dict"].items() if weight.ndim == 2)
    checkpoint["state_dict"][name] = torch.cat([weight, weight])
    del checkpoint["state_dict"][max(checkpoint["state_dict"])]
    torch.save(checkpoint, path)
    with pytest.raises(InputError, match=rf"{path.name} is a checkpoint of another model: .* \(2 such\)"):
        train(run, resume=True)


def test_a_batch_moves_and_scores_with_a_real_model(cross_encoder) -> None:
    lists = [CandidateList("sort the list", ("sort a list", "open a file"), (1.0, 0.0))]
    batch = ListCollate(cross_encoder.tokenizer)(lists)
    ranker = Ranker(cross_encoder, SoftmaxLoss()).eval()
    expected = cross_encoder.score(["sort the list"] * 2, lists[0].documents)
    torch.testing.assert_close(ranker(batch.features)[0], expected)


def test_what_a_loss_learns_is_optimized_too() -> None:
    loss = OrdinalLoss(grades=3)
    ranker = Ranker(Given(), loss, learning_rate=0.1, weight_decay=0.5)
    groups = ranker.configure_optimizers().param_groups
    found = {id(parameter): group for group in groups for parameter in group["params"]}
    for parameter in loss.parameters():
        assert found[id(parameter)]["lr"] == found[id(parameter)]["peak"] == 0.1
        assert found[id(parameter)]["weight_decay"] == 0.0
    assert len(found) == len(list(ranker.parameters()))
