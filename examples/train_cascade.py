"""A cascade trained as one, beside the same two stages trained apart, at the same cost.

Of 40 documents a cheap linear stage hands 10 to a dear network. Four are relevant; six decoys look better still to the
cheap stage, but the dear one knows them. Alone, the cheap stage does well to rank decoys low, and loses relevant
documents with them. In the cascade it may let them through: the nDCG behind the second stage tells it so, by way of a
soft top-k. With a budget in the loss the cut-off is learned too, from a generous one on; there LCRON keeps the first
stage from dropping decoys as long as the second stage does not know them yet.

    python examples/train_cascade.py
"""

from typing import cast

import torch
from torch import Tensor, nn

from rankgrad.data.feature_lists import FeatureLists
from rankgrad.losses import ApproxNDCG, LCRONLoss
from rankgrad.metrics import NDCG
from rankgrad.models import FeatureRanker
from rankgrad.pipeline import Cascade, CascadeLoss, FeatureStage, whole_lists

QUERIES, DOCUMENTS, RELEVANT, DECOYS = 60, 40, 4, 6
CUT, COSTS, STEPS = 10, (0.01, 1.0), 70


def draw(seed: int) -> tuple[FeatureLists, Tensor]:
    """Two features that are cheap to have and one that is not, and who is relevant."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.zeros(QUERIES, DOCUMENTS)
    labels[:, :RELEVANT] = 1
    decoys = torch.zeros(QUERIES, DOCUMENTS)
    decoys[:, RELEVANT : RELEVANT + DECOYS] = 1
    centres = torch.stack([0.8 * labels, 2 * labels + 3 * decoys, 2 * labels - 2 * decoys], dim=-1)
    features = centres + torch.tensor([1.0, 0.7, 1.0]) * torch.randn(centres.shape, generator=generator)
    order = torch.rand(QUERIES, DOCUMENTS, generator=generator).argsort(dim=1)
    rows = features.gather(1, order.unsqueeze(-1).expand_as(features))
    return FeatureLists(rows, torch.ones(QUERIES, DOCUMENTS, dtype=torch.bool)), labels.gather(1, order)


class Linear(nn.Module):
    """The cheap stage: a weighted sum."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((features,), 0.1))

    def forward(self, lists: FeatureLists) -> Tensor:
        return lists.features @ self.weights


def build(*, learn_cutoffs: bool = False, cut: float = CUT) -> Cascade:
    """The same two stages each time, from the same weights."""
    torch.manual_seed(0)
    dear = FeatureRanker(3, hidden=(16,), dropout=0.0, transform="none")
    stages = [FeatureStage(Linear(2), columns=[0, 1]), FeatureStage(dear)]
    return Cascade(stages, cutoffs=[cut], costs=COSTS, temperature=0.2, learn_cutoffs=learn_cutoffs)


def train(cascade: Cascade, loss: CascadeLoss | None) -> Cascade:
    """Fit both stages in as many steps: by one loss, or each by its own."""
    lists, labels = draw(seed=0)
    ranking = whole_lists(lists)
    # Without momentum a cut-off stops where the budget does.
    cutoffs = {"params": [cascade.log_cutoffs], "lr": 0.02, "betas": (0.0, 0.9)}
    optimizer = torch.optim.Adam([{"params": list(cascade.stages.train().parameters()), "lr": 0.04}, cutoffs])
    for _ in range(STEPS):
        optimizer.zero_grad()
        found = cascade.relaxed(lists, ranking)
        if loss is not None:
            loss(found, labels).backward()
        else:
            torch.stack([ApproxNDCG()(scores, labels) for scores in found.scores]).sum().backward()
        optimizer.step()
    return cascade.eval()


@torch.no_grad()
def measure(cascade: Cascade) -> tuple[float, float]:
    """nDCG@10 on queries that nothing was trained on, and the share of relevant documents handed on."""
    lists, labels = draw(seed=1)
    ranking = cascade(lists, whole_lists(lists))
    ordered = labels.gather(1, ranking.ids)
    handed = ordered[:, : cascade.hard_cutoffs[0]].sum() / labels.sum()
    return float(NDCG(k=10)(ranking.scores, ordered).mean()), float(handed)


def main() -> None:
    systems = {
        "apart": train(build(), None),
        "as one": train(build(), CascadeLoss(ApproxNDCG())),
        "as one, cut-off learned": train(
            build(learn_cutoffs=True, cut=20),
            CascadeLoss(ApproxNDCG(), joint=LCRONLoss(stages=2, k=(CUT, RELEVANT), temperature=8.0), budget=10.4),
        ),
    }
    found = {name: measure(cascade) for name, cascade in systems.items()}
    for name, cascade in systems.items():
        cost, weights = float(cascade.expected_cost(DOCUMENTS).detach()), cast(FeatureStage, cascade.stages[0]).ranker
        quality, handed = found[name]
        shown = ", ".join(f"{weight:.2f}" for weight in cast(Linear, weights).weights.tolist())
        print(f"{name:24} nDCG@10 {quality:.3f}  relevant handed on {handed:.2f}  {cost:.1f} ms  weights {shown}")
    for name in ("as one", "as one, cut-off learned"):
        assert systems[name].expected_cost(DOCUMENTS) <= systems["apart"].expected_cost(DOCUMENTS) + 0.1
        assert found[name][0] > found["apart"][0]
    assert found["as one"][1] > found["apart"][1]


if __name__ == "__main__":
    main()
