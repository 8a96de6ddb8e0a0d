"""What each of the processes of ``test_two_processes.py`` runs: ``python two_processes.py RANK PORT FOLDER``."""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, read_lists
from rankgrad.data.collate import ListBatch, ListCollate, PairFeatures
from rankgrad.losses import InfoNCELoss
from rankgrad.models import CausalReranker, ColBERT, CrossEncoder, DenseEncoder, SparseEncoder
from rankgrad.training import RunFolder, all_gather_rows, cached_scores
from rankgrad.training.checkpoints import checkpoints_in
from rankgrad.training.cli import main
from rankgrad.training.gather import across_processes
from rankgrad.training.grad_cache import embed, micro_batches
from rankgrad.training.sharding import shard

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHARES = ((0, 3), (3, 5))


class Step(nn.Module):
    """A training step as the wrapped module of DDP."""

    def __init__(self, model: ColBERT, micro_batch_tokens: int | None) -> None:
        super().__init__()
        self.model = model
        self.micro_batch_tokens = micro_batch_tokens

    def forward(self, batch: ListBatch) -> Tensor:
        embedded = embed(self.model, batch.features, micro_batch_tokens=self.micro_batch_tokens)
        found = across_processes(self.model, embedded, batch)
        return InfoNCELoss()(found.scores, found.labels, found.mask) * found.weight


def gathered(rank: int) -> dict[str, object]:
    """Rows of different number and width, and the gradient that comes back."""
    rows = torch.full((rank + 1, 2 + rank, 3), float(rank + 1), requires_grad=True)
    parts = all_gather_rows(rows)
    # The loss of process r holds the rows of process s (s + 1) (r + 1) times.
    loss = torch.stack([(place + 1) * (rank + 1) * part.sum() for place, part in enumerate(parts)]).sum()
    counts = all_gather_rows(torch.arange(2 * rank))
    return {
        "parts": [part.detach().tolist() for part in parts],
        "gradient": torch.autograd.grad(loss, rows)[0].unique().tolist(),
        "counts": [part.tolist() for part in counts],
    }


def gradients(rank: int, folder: Path, lists: list[CandidateList]) -> None:
    """Save what DDP gives for lists of which this process has its share, with and without micro-batches."""
    model = ColBERT.from_pretrained(folder / "model").eval()
    collate = ListCollate(model.tokenizer, in_batch_negatives=True, group_size=2)
    batch = collate(lists[slice(*SHARES[rank])])
    for micro_batch_tokens in (None, 40):
        model.zero_grad()
        wrapped = DistributedDataParallel(Step(model, micro_batch_tokens))
        wrapped(batch).backward()
        if rank == 0:
            found = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
            torch.save(found, folder / f"gradients-{micro_batch_tokens}.pt")


def new_models(folder: Path) -> dict[str, nn.Module]:
    """Models that FSDP is to split, the same in all processes."""
    torch.manual_seed(1)
    return {
        "colbert": ColBERT.from_pretrained(folder / "model", keep_share=0.5),
        "cached": ColBERT.from_pretrained(folder / "model", keep_share=0.5),
        "cross_encoder": CrossEncoder.from_pretrained(folder / "model", head="interaction"),
        "dense_encoder": DenseEncoder.from_pretrained(folder / "encoder"),
        "sparse_encoder": SparseEncoder.from_pretrained(folder / "mlm"),
        "causal_reranker": CausalReranker.from_pretrained(folder / "decoder"),
    }


def squares(model: nn.Module, batch: ListBatch, micro_batch_tokens: int | None) -> dict[str, Tensor]:
    """The gradient of the sum of squared scores, compared as in training, but without dropout."""
    model.eval().training = True
    if micro_batch_tokens is None:
        scores = model(batch.features)
    else:
        scores = cached_scores(model, batch.features, micro_batch_tokens=micro_batch_tokens)
    scores[batch.mask].square().sum().backward()
    found = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    model.zero_grad()
    return {name: each.full_tensor() if isinstance(each, DTensor) else each for name, each in found.items()}


def unequal(rank: int, folder: Path, lists: list[CandidateList]) -> dict[str, dict[str, object]]:
    """How many groups a process has, and how far FSDP's gradients and scores are from those without it."""
    # Where a module's output is a view, FSDP warns that nobody must change it in place.
    warnings.filterwarnings("ignore", message=r"FSDP2-wrapped module .* returned a view")
    report: dict[str, dict[str, object]] = {}
    for name, model in new_models(folder).items():
        collate = ListCollate(model.tokenizer, group_size=2)  # type: ignore[arg-type]
        tokens = 30 if name == "cached" else None
        batch, own = collate(lists), collate(lists[slice(*SHARES[rank])])
        features: Any = own.features
        groups = features.groups if isinstance(features, PairFeatures) else features.documents
        expected = squares(model, batch, tokens)
        with torch.no_grad():
            scores = model.eval()(features)
        shard(model, init_device_mesh("cpu", (2,)))
        found = squares(model, own, tokens)
        with torch.no_grad():
            split = model.eval()(features)
        largest = max(float(each.abs().max()) for each in expected.values())
        # FSDP takes the mean of both processes.
        further = {each: float((2 * found[each] - expected[each]).abs().max()) for each in expected}
        report[name] = {
            "groups": len(groups if tokens is None else micro_batches(groups, tokens)),
            "gradients": max(further.values()) / largest,
            "scores": float((split - scores)[own.mask].abs().max() / scores[own.mask].abs().max()),
        }
    return report


def fit(folder: Path, strategy: str, name: str, *, resume: bool = False) -> RunFolder:
    """Train by configuration."""
    files = [f"--config={path}" for path in (folder / "experiment.yaml", CONFIGS / f"trainer/{strategy}.yaml")]
    options = ["--trainer.accelerator=cpu", "--trainer.max_epochs=2", "--trainer.val_check_interval=1.0"]
    return main([*files, *options, f"--run_folder={folder / name}", *(["--resume"] if resume else [])])


def resumed(rank: int, folder: Path, strategy: str, begun: str) -> str:
    """Go on, with a strategy, from a checkpoint in the middle of a run begun with another or the same."""
    target = folder / f"{strategy}-after-{begun}"
    if rank == 0:
        (target / "checkpoints").mkdir(parents=True)
        shutil.copy(checkpoints_in(folder / begun / "checkpoints")[-1], target / "checkpoints")
        shutil.copy(folder / begun / "metrics.csv", target)
    distributed.barrier()
    try:
        fit(folder, strategy, target.name, resume=True)
    except InputError as error:
        return str(error)
    return "resumed"


def pairs(folder: Path, name: str) -> str:
    """Train a cross-encoder that FSDP splits, by configuration; what it is told, or nothing."""
    files = [f"--config={path}" for path in (folder / f"{name}.yaml", CONFIGS / "trainer/fsdp.yaml")]
    options = ["--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--trainer.val_check_interval=1.0"]
    try:
        main([*files, *options, f"--run_folder={folder / name}"])
    except InputError as error:
        return str(error)
    return ""


def refused(folder: Path) -> str:
    """What a run is told whose data do not go round."""
    values = [f"--config={folder / 'experiment.yaml'}", f"--config={CONFIGS / 'trainer/ddp.yaml'}"]
    try:
        main([*values, "--trainer.accelerator=cpu", f"--run_folder={folder / 'refused'}", "--data.batch_size=100"])
    except InputError as error:
        return str(error)
    return "nothing"


def work(rank: int, port: str, folder: Path) -> None:
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0}
    os.environ.update(address | {name: str(value) for name, value in place.items()})
    distributed.init_process_group("gloo", timeout=timedelta(seconds=300))
    torch.set_num_threads(1)
    report: dict[str, object] = {"gathered": gathered(rank)}
    shared = list(read_lists(folder / "shared.jsonl"))
    gradients(rank, folder, shared)
    report["unequal"] = unequal(rank, folder, shared)
    for strategy in ("ddp", "fsdp"):
        fit(folder, strategy, strategy)
    for strategy in ("ddp", "fsdp"):
        for begun in ("ddp", "fsdp"):
            report[f"{strategy} after {begun}"] = resumed(rank, folder, strategy, begun)
    report["refused"] = refused(folder)
    for name in ("pairs", "exits", "listwise"):
        report[name] = pairs(folder, name)
    (folder / f"report-{rank}.json").write_text(json.dumps(report))
    distributed.destroy_process_group()


if __name__ == "__main__":
    work(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
