"""Fusing three rankers: by reciprocal ranks, by scores, and with weights learned on judged queries.

Each ranker sees the relevance of 60 documents through noise of its own, on a scale of its own; the third hardly
sees it. Weights are chosen on training queries and measured on others. With soft ranks the gradient goes on through the
fusion into the rankers' scores.

    python examples/fuse_rankings.py
"""

import torch
from torch import Tensor, nn

from rankgrad.fuse import Judgements, LearnedFusion, ReciprocalRankFusion, ScoreFusion, diagnose, explain, labels_of
from rankgrad.metrics import NDCG
from rankgrad.types import Ranking

DOCUMENTS, DEPTH = 60, 40
NOISES, SCALES = (0.7, 1.0, 6.0), (10.0, 0.2, 100.0)


def draw(queries: int, seed: int) -> tuple[list[Ranking], Judgements]:
    """One ranking a ranker, and the ten relevant documents of each query."""
    generator = torch.Generator().manual_seed(seed)
    relevance = torch.randn(queries, DOCUMENTS, generator=generator)
    rankings = []
    for noise, scale in zip(NOISES, SCALES, strict=True):
        seen = scale * (relevance + noise * torch.randn(queries, DOCUMENTS, generator=generator))
        scores, ids = seen.topk(DEPTH, dim=1)
        rankings.append(Ranking(ids, scores, torch.ones(queries, DEPTH, dtype=torch.bool)))
    best = relevance.topk(10, dim=1).indices
    grades = torch.tensor([3, 2, 2, 1, 1, 1, 1, 1, 1, 1]).expand(queries, 10)
    return rankings, Judgements(best, grades, torch.ones(queries, 10, dtype=torch.bool))


def ndcg(ranking: Ranking, judgements: Judgements) -> float:
    labels = labels_of(ranking.ids, ranking.mask, judgements)
    return float(NDCG(k=10)(ranking.scores, labels, ranking.mask, judged=judgements.ideal()).mean())


def main() -> None:
    training, (rankings, judgements) = draw(200, seed=0), draw(200, seed=1)
    learned = LearnedFusion(3)
    report = learned.fit(*training, steps=60)
    fusions: dict[str, nn.Module] = {
        "reciprocal ranks": ReciprocalRankFusion(),
        "sum of min-max scores": ScoreFusion(),
        f"learned {learned.extra_repr()}": learned,
    }
    found: dict[str, float] = {f"ranker {place}": ndcg(one, judgements) for place, one in enumerate(rankings)}
    with torch.no_grad():
        found |= {name: ndcg(fusion(rankings), judgements) for name, fusion in fusions.items()}
    print("nDCG@10 on queries that nothing was chosen on")
    for name, value in found.items():
        print(f"  {name:70} {value:.4f}")
    print(
        f"on the training queries: best of a grid of {report.grid_points} {report.grid:.4f}, learned {report.best:.4f}"
    )
    print(diagnose(rankings, judgements, k=10).suggestion)
    best = explain(learned, rankings, k=1)[0]
    for source in best.sources:
        print(f"  document {best.id}: {source.contribution:.4f} of {best.score:.4f} from ranker {source.list}")

    *single, equal, scores, trained = found.values()
    assert report.best >= report.grid
    assert trained > max(*single, equal, scores)
    assert abs(sum(source.contribution for source in best.sources) - best.score) < 1e-6
    assert gradient_of_scores(LearnedFusion(3, soft_ranks=True), rankings).abs().sum() > 0


def gradient_of_scores(fusion: nn.Module, rankings: list[Ranking]) -> Tensor:
    """How the first ten fused scores change with the first ranker's scores."""
    scores = rankings[0].scores.clone().requires_grad_()
    fused = fusion([rankings[0]._replace(scores=scores), *rankings[1:]])
    gains = fused.scores.masked_fill(~fused.mask, 0.0)[:, :10]
    (gradient,) = torch.autograd.grad(gains.sum(), scores)
    return gradient


if __name__ == "__main__":
    main()
