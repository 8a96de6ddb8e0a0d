"""Two processes on processors: gathered rows, negatives of each other, DDP and FSDP by configuration, resuming."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml

from rankgrad._checks import InputError
from rankgrad.data import CandidateList
from rankgrad.data.collate import ListCollate
from rankgrad.losses import InfoNCELoss
from rankgrad.metrics import ndcg
from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.training import Ranker, RunFolder, read_curves
from rankgrad.training.checkpoints import checkpoints_in, read_checkpoint

SCRIPT = Path(__file__).with_name("two_processes.py")
# The first process has three lists, the second two. "open a file" is a document of both; "sort a list" is a query of
# both, and what is relevant to it in the one process is no negative of it in the other.
SHARED = [
    CandidateList("sort a list", ("sort the values of a list", "open a file"), (1.0, 0.0)),
    CandidateList("read lines", ("open a file and read its lines", "raise an error"), (1.0, 0.0)),
    CandidateList("join strings", ("join several strings", "parse a date from text"), (1.0, 0.0)),
    CandidateList("sort a list", ("sort by key", "join the values with a separator and return"), (1.0, 0.0)),
    CandidateList("open", ("open a file", "return the number of items"), (1.0, 0.0)),
]


class Finished(NamedTuple):
    folder: Path
    reports: list[dict]


PAIRS: dict[str, dict] = {"pairs": {}, "exits": {"exits": [1]}, "listwise": {"listwise": True}}


def write(path: Path, lists: list[CandidateList]) -> None:
    rows = [{"query": one.query, "documents": one.documents, "labels": one.labels} for one in lists]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    new_colbert,
    lists_of,
    tiny_encoder_folder: Path,
    tiny_mlm_folder: Path,
    tiny_decoder_folder: Path,
) -> Finished:
    """What two processes left; they do all that this file looks at, since starting them is what takes time."""
    folder = tmp_path_factory.mktemp("two")
    new_colbert().save_pretrained(folder / "model")
    for name, tiny in (("encoder", tiny_encoder_folder), ("mlm", tiny_mlm_folder), ("decoder", tiny_decoder_folder)):
        (folder / name).symlink_to(tiny, target_is_directory=True)
    write(folder / "shared.jsonl", SHARED)
    files = {}
    for split, count in (("train", 34), ("validation", 5)):
        files[split] = str(folder / f"{split}.jsonl")
        write(Path(files[split]), lists_of(count, split))
    model = {"class_path": "rankgrad.models.ColBERT.from_pretrained", "init_args": {"name": str(folder / "model")}}
    content = {
        "tensorboard": False,
        "checkpoint_every": 3,
        "model": {
            "model": model,
            "loss": {"class_path": "rankgrad.losses.InfoNCELoss"},
            "learning_rate": 1e-3,
            "cross_device_negatives": True,
            "grad_cache_tokens": 60,
        },
        "data": {
            "source": {"class_path": "rankgrad.data.ListsFile", "init_args": files},
            "batch_size": 4,
            # 3 lists of 4 documents in the first process, 2 in the second: 2 groups of 8 documents, and 1.
            "validation_batch_size": 4,
            "in_batch_negatives": True,
        },
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(content))
    for name, options in PAIRS.items():
        init = {"name": str(folder / "model"), **options}
        loss = {"class_path": "rankgrad.losses.SoftmaxLoss"}
        if "exits" in options:
            loss = {"class_path": "rankgrad.losses.EarlyExitLoss", "init_args": {"loss": loss}}
        about = {
            "model": {
                "model": {"class_path": "rankgrad.models.CrossEncoder.from_pretrained", "init_args": init},
                "loss": loss,
                "learning_rate": 1e-3,
            },
            "data": {**content["data"], "in_batch_negatives": False},
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**content, **about}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "TOKENIZERS_PARALLELISM": "false"}
    commands = [[sys.executable, "-W", "error", str(SCRIPT), str(rank), port, str(folder)] for rank in range(2)]
    with (folder / "output.txt").open("w") as output:
        started = [subprocess.Popen(one, env=environment, stdout=output, stderr=output) for one in commands]
        try:
            codes = [one.wait(timeout=400) for one in started]
        finally:
            for one in started:
                one.kill()
    assert codes == [0, 0], (folder / "output.txt").read_text()[-6000:]
    return Finished(folder, [json.loads((folder / f"report-{rank}.json").read_text()) for rank in range(2)])


def test_rows_of_all_processes_whatever_their_sizes(finished: Finished) -> None:
    for rank, report in enumerate(finished.reports):
        found = report["gathered"]
        assert found["parts"] == [torch.full((n, n + 1, 3), float(n)).tolist() for n in (1, 2)]
        assert found["gradient"] == [(rank + 1) * (1 + 2)]
        assert found["counts"] == [[], [0, 1]]


@pytest.mark.parametrize("micro_batch_tokens", [None, 40])
def test_the_gradients_are_those_of_one_process_with_all_lists(finished: Finished, micro_batch_tokens) -> None:
    model = ColBERT.from_pretrained(finished.folder / "model")
    batch = ListCollate(model.tokenizer, in_batch_negatives=True)(SHARED)
    InfoNCELoss()(model(batch.features), batch.labels, batch.mask).backward()
    found = torch.load(finished.folder / f"gradients-{micro_batch_tokens}.pt")
    expected = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize(
    "name", ["colbert", "cached", "cross_encoder", "dense_encoder", "sparse_encoder", "causal_reranker"]
)
def test_processes_with_unequal_numbers_of_groups_share_a_split_model(finished: Finished, name: str) -> None:
    first, second = (report["unequal"][name] for report in finished.reports)
    assert first["groups"] > second["groups"]
    for found in (first, second):
        assert found["gradients"] < 1e-5
        assert found["scores"] < 1e-5


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_validation_counts_every_query_of_every_process_once(finished: Finished, strategy: str, lists_of) -> None:
    run = finished.folder / strategy
    model = ColBERT.from_pretrained(run / "best")
    batch = ListCollate(model.tokenizer)(lists_of(5, "validation"))
    with torch.no_grad():
        expected = float(ndcg(model(batch.features), batch.labels, batch.mask, k=10).mean())
    values = [float(row["val/nDCG@10"]) for row in read_curves(run / "metrics.csv") if "val/nDCG@10" in row]
    assert len(values) == 2
    assert max(values) == pytest.approx(expected, abs=1e-6)


def test_a_split_cross_encoder_is_saved_as_it_was_validated(finished: Finished, lists_of) -> None:
    assert [report["pairs"] for report in finished.reports] == ["", ""]
    run = finished.folder / "pairs"
    model = CrossEncoder.from_pretrained(run / "best")
    batch = ListCollate(model.tokenizer)(lists_of(5, "validation"))
    with torch.no_grad():
        expected = float(ndcg(model(batch.features), batch.labels, batch.mask, k=10).mean())
    value = next(float(row["val/nDCG@10"]) for row in read_curves(run / "metrics.csv") if "val/nDCG@10" in row)
    assert value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["exits", "listwise"])
def test_a_cross_encoder_that_calls_parts_of_its_encoder_is_not_split(finished: Finished, name: str) -> None:
    for report in finished.reports:
        assert "train it with DDP" in report[name]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_resumed_run_ends_as_the_whole_one(finished: Finished, strategy: str) -> None:
    runs = finished.folder / strategy, finished.folder / f"{strategy}-after-{strategy}"
    paths = [checkpoints_in(run / "checkpoints") for run in runs]
    assert [path.name for path in paths[0]] == [path.name for path in paths[1]]
    assert (paths[0][0].name, paths[0][1].name) == ("step-00000008.ckpt", "step-00000006.ckpt")
    whole, resumed = (read_checkpoint(each[0])["state_dict"] for each in paths)
    assert whole.keys() == resumed.keys()
    for name, weight in whole.items():
        assert torch.equal(weight, resumed[name]), name
    assert read_curves(runs[0] / "metrics.csv") == read_curves(runs[1] / "metrics.csv")


def test_a_checkpoint_of_another_strategy_is_refused(finished: Finished) -> None:
    for report in finished.reports:
        assert "with a strategy that does not shard, and this run has a sharding" in report["fsdp after ddp"]
        assert "with a sharding strategy (FSDP), and this run has a strategy" in report["ddp after fsdp"]
        assert report["ddp after ddp"] == report["fsdp after fsdp"] == "resumed"


def test_sharding_changes_nothing_but_where_weights_are(finished: Finished) -> None:
    paths = (checkpoints_in(finished.folder / name / "checkpoints")[0] for name in ("ddp", "fsdp"))
    ddp, fsdp = ({name: each.shape for name, each in read_checkpoint(path)["state_dict"].items()} for path in paths)
    assert ddp == fsdp
    losses = [
        [float(row["train/loss"]) for row in read_curves(finished.folder / name / "metrics.csv") if "train/loss" in row]
        for name in ("ddp", "fsdp")
    ]
    assert len(losses[0]) == 8
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_too_few_lists_for_the_processes(finished: Finished) -> None:
    for report in finished.reports:
        assert "34 lists in batches of 100 give no batch to each of 2 processes" in report["refused"]


def test_negatives_of_other_processes_without_other_processes(
    train_colbert, tmp_path: Path, new_colbert, cross_encoder
) -> None:
    with pytest.raises(InputError, match=r"needs a process group: set trainer\.strategy=ddp"):
        train_colbert(RunFolder(tmp_path, tensorboard=False), ranker={"cross_device_negatives": True})
    with pytest.raises(InputError, match="CrossEncoder reads query and document together"):
        Ranker(cross_encoder, InfoNCELoss(), cross_device_negatives=True)
    with pytest.raises(InputError, match="cross_device_negatives=True with target=teacher_scores"):
        Ranker(new_colbert(), InfoNCELoss(), cross_device_negatives=True, target="teacher_scores")
