"""Agreement with trec_eval, to the four decimals it prints, on its own test files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rankgrad.metrics import NDCG, AveragePrecision, Precision, Recall, ReciprocalRank

FILES = Path(__file__).resolve().parents[2] / "../shared/data/eval_trec_eval/test"
pytestmark = pytest.mark.skipif(not FILES.is_dir(), reason=f"trec_eval's test files are not at {FILES}")
CUTS = (5, 10, 20, 100, 1000)


def measures(level: float) -> dict[str, Callable[..., Tensor]]:
    """Our metric for each of trec_eval's names; its gains know no relevance level."""
    return {
        "ndcg": NDCG(),
        "map": AveragePrecision(relevance_level=level),
        "recip_rank": ReciprocalRank(relevance_level=level),
        **{f"ndcg_cut_{k}": NDCG(k) for k in CUTS},
        **{f"map_cut_{k}": AveragePrecision(k, relevance_level=level) for k in CUTS},
        **{f"P_{k}": Precision(k, relevance_level=level) for k in CUTS},
        **{f"recall_{k}": Recall(k, relevance_level=level) for k in CUTS},
    }


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    for line in path.read_text().splitlines():
        query, _, document, label = line.split()
        qrels[query][document] = int(label)
    return qrels


def read_run(path: Path) -> dict[str, list[tuple[str, float]]]:
    """Documents of each query by descending id, which is how trec_eval breaks ties: ours go to the lowest index."""
    run: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for line in path.read_text().splitlines():
        query, _, document, _, score, _ = line.split()
        run[query].append((document, float(score)))
    return {query: sorted(documents, reverse=True) for query, documents in run.items()}


def padded(rows: list[list[float]], fill: float) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])


def expected_values(path: Path) -> dict[tuple[str, str], float]:
    rows = [line.split() for line in path.read_text().splitlines()]
    return {(query, name): float(value) for name, query, value in rows if name in measures(1.0)}


@pytest.mark.parametrize(
    ("qrels_file", "run_file", "expected_file", "level"),
    [
        ("qrels.test", "results.test", "out.test.a", 1.0),
        ("qrels.test", "results.test", "out.test.aq", 1.0),
        ("qrels.rel_level", "results.test", "out.test.aql", 2.0),
    ],
)
def test_parity(qrels_file: str, run_file: str, expected_file: str, level: float) -> None:
    qrels, run = read_qrels(FILES / qrels_file), read_run(FILES / run_file)
    queries = sorted(run)
    scores = padded([[score for _, score in run[query]] for query in queries], float("-inf"))
    labels = padded([[qrels[query].get(document, 0) for document, _ in run[query]] for query in queries], 0)
    judged = padded([list(qrels[query].values()) for query in queries], 0)
    ours = {}
    for name, metric in measures(level).items():
        values = metric(scores, labels, scores > float("-inf"), judged=judged).tolist()
        ours.update({(query, name): value for query, value in zip(queries, values, strict=True)})
        ours["all", name] = sum(values) / len(values)
    expected = expected_values(FILES / expected_file)
    assert len(expected) >= len(measures(level))
    assert {key: ours[key] for key in expected} == pytest.approx(expected, abs=5.1e-5)
